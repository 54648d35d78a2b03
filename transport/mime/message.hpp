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

// The METHOD of a calendar, one of RFC 5546 section 1.4; kept in capitals.
class CalendarMethod {
public:
    static Result<CalendarMethod> make(std::string_view text);
    const std::string& str() const { return text_; }

    friend bool operator==(const CalendarMethod&, const CalendarMethod&) = default;

private:
    explicit CalendarMethod(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

// An https link that may stand between angle brackets: characters of RFC 3986 section 2, no comma (lists of links are
// parted by them), no square brackets.
class HttpsUrl {
public:
    static constexpr std::size_t max_size = 900; // octets; ours: `List-Unsubscribe: <...>,` is one line of at most 998

    static Result<HttpsUrl> make(std::string_view text);
    const std::string& str() const { return text_; }

    friend bool operator==(const HttpsUrl&, const HttpsUrl&) = default;

private:
    explicit HttpsUrl(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

enum class Priority { high, normal, low };
Result<Priority> priority_from(std::string_view text); // high, normal, low

// An invitation, its answer and the like (iTIP, RFC 5546): readers show it as such, or open it as a file.
struct Calendar {
    CalendarMethod method;
    std::string_view content; // iCalendar (RFC 5545) in UTF-8 that has the same METHOD; any line ends
};

// How a recipient of mass mail leaves by one click (RFC 8058): the link is posted to, not opened.
struct Unsubscribe {
    HttpsUrl url;
    std::optional<MailAddress> mailto; // for readers that know no one-click
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
    Priority priority = Priority::normal;
    std::optional<Unsubscribe> unsubscribe;
    // The producer's; those that the composer writes are left out.
    std::vector<std::pair<HeaderName, HeaderText>> headers;
    std::optional<std::string_view> text; // UTF-8, any line ends
    std::optional<std::string_view> html;
    std::optional<Calendar> calendar;
    std::vector<Attachment> attachments;
};

// Header fields that a producer may not give: the composer writes them from the message's own members, or they belong
// to the envelope (Bcc, Return-Path). Auto-Submitted may be given.
bool is_written_by_composer(const HeaderName& name);

} // namespace mailroom::mime
