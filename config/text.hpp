// Text that may stand in a mail header, proved once where it enters, and the few text functions that all layers share.
#pragma once

#include "config/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace mailroom {

std::string_view trimmed(std::string_view text); // without ASCII blanks, tabs and line ends at both sides
bool is_utf8(std::string_view text);             // well-formed by RFC 3629: no overlong form, no surrogate
// Text from outside as it may be shown or logged: UTF-8 on one line. Tabs and line ends become blanks; other control
// characters, what turns the direction of writing (Unicode's bidirectional controls) and octets that are no UTF-8
// become '?'. Never more than max_size octets, no character cut.
std::string printable(std::string_view octets, std::size_t max_size);
bool equals_ignoring_ascii_case(std::string_view a, std::string_view b);
std::string ascii_lower(std::string_view text);
std::string grouped(std::int64_t number);                         // 12,345
std::string count_of(std::int64_t number, std::string_view noun); // 1 message, 12,345 messages

// UTF-8 without control characters (C0, DEL, C1), at most max_size octets: what can never end a header or a command
// early.
class HeaderText {
public:
    static constexpr std::size_t max_size = 8192; // octets; ours: longer than any subject a person writes

    HeaderText() = default;
    static Result<HeaderText> make(std::string text);

    const std::string& str() const { return text_; }
    bool empty() const { return text_.empty(); }

    friend bool operator==(const HeaderText&, const HeaderText&) = default;

private:
    explicit HeaderText(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

// A header field's name (RFC 5322 section 3.6.8): printable US-ASCII without the colon, at most 76 octets.
class HeaderName {
public:
    static Result<HeaderName> make(std::string name);
    const std::string& str() const { return name_; }

    friend bool operator==(const HeaderName&, const HeaderName&) = default;

private:
    explicit HeaderName(std::string name) : name_(std::move(name)) {}
    std::string name_;
};

} // namespace mailroom
