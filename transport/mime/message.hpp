// A message as the composer takes it: every value is proved, so that no CR, LF or NUL can reach a header.
#pragma once

#include "config/address.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailroom::mime {

// type/subtype of RFC 6838 section 4.2, without parameters; kept in lower case.
class MediaType {
public:
    static Result<MediaType> make(std::string_view text);
    const std::string& str() const { return text_; }

    friend bool operator==(const MediaType&, const MediaType&) = default;

private:
    explicit MediaType(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

// A Content-ID without its angle brackets: printable US-ASCII without blanks and brackets, at most 200 octets.
class ContentId {
public:
    static Result<ContentId> make(std::string_view text);
    const std::string& str() const { return text_; }

    friend bool operator==(const ContentId&, const ContentId&) = default;

private:
    explicit ContentId(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

struct Attachment {
    HeaderText name; // of the file, without a path; empty: "attachment", unless it is inline
    MediaType type;
    std::optional<ContentId> content_id; // set: inline, shown by the HTML as cid:...
    std::uint64_t size = 0;              // octets; the bytes themselves are read when they are sent
};

struct Message {
    std::string_view uid;          // makes the boundaries, so that they are the same on every retry
    std::string_view message_id;   // uid@domain, without angle brackets; printable US-ASCII, at most 512 octets
    std::chrono::sys_seconds date; // written in UTC
    NamedAddress from;
    std::optional<MailAddress> sender;
    std::vector<NamedAddress> to;
    std::vector<NamedAddress> cc; // Bcc is the envelope's alone
    std::vector<NamedAddress> reply_to;
    HeaderText subject;
    // The producer's; those that the composer writes are left out.
    std::vector<std::pair<HeaderName, HeaderText>> headers;
    std::optional<std::string_view> text; // UTF-8, any line ends
    std::optional<std::string_view> html;
    std::vector<Attachment> attachments;
};

// Header fields that a producer may not give: the composer writes them from the message's own members, or they belong
// to the envelope (Bcc, Return-Path). Auto-Submitted may be given.
bool is_written_by_composer(const HeaderName& name);

} // namespace mailroom::mime
