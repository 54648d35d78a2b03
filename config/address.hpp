// E-mail addresses that cannot be wrong: RFC 5321's Mailbox without quoted local part and without address literal,
// UTF-8 allowed by RFC 6531. Nothing else may stand in an envelope or between the angle brackets of a header. There a
// domain of another script stands in A-labels, so that only a local part can need SMTPUTF8.
#pragma once

#include "config/text.hpp"

#include <string>
#include <string_view>

namespace mailroom {

class MailAddress {
public:
    static constexpr std::size_t max_local_part = 64; // octets, RFC 5321 section 4.5.3.1.1
    static constexpr std::size_t max_domain = 255;    // octets, section 4.5.3.1.2
    static constexpr std::size_t max_size = 254;      // octets, what a path of 256 leaves (section 4.5.3.1.3)

    static Result<MailAddress> parse(std::string_view text); // blanks around it are taken off

    const std::string& str() const { return text_; } // for machines; its domain is US-ASCII
    const std::string& written() const { return written_.empty() ? text_ : written_; } // for people: as it was given
    std::string_view local_part() const { return std::string_view(text_).substr(0, at_); }
    std::string_view domain() const { return std::string_view(text_).substr(at_ + 1); }
    bool needs_smtputf8() const; // its local part is not US-ASCII

    // Compared whole, ignoring the case of ASCII letters; a domain is the same in any script.
    friend bool operator==(const MailAddress& a, const MailAddress& b)
    {
        return equals_ignoring_ascii_case(a.text_, b.text_);
    }

private:
    MailAddress(std::string text, std::size_t at, std::string written)
        : text_(std::move(text)), written_(std::move(written)), at_(at)
    {}
    std::string text_;
    std::string written_; // empty: as text_
    std::size_t at_;      // where the @ stands
};

// `Name <address>` or a bare address, as a setting or a producer writes it.
struct NamedAddress {
    HeaderText name; // empty: none
    MailAddress address;

    static Result<NamedAddress> parse(std::string_view text);

    friend bool operator==(const NamedAddress&, const NamedAddress&) = default;
};

std::string to_string(const NamedAddress& address); // for people: Name <address>, as they were given

} // namespace mailroom
