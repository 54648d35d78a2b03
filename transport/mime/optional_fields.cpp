#include "transport/mime/optional_fields.hpp"

#include "transport/mime/header_field.hpp"

#include <algorithm>
#include <array>

namespace mailroom::mime {

void append_priority(std::string& out, Priority priority)
{
    // The three that readers look at: X-Priority (most), Importance (RFC 2156 section 5.3.4) and Outlook's own.
    switch (priority) {
    case Priority::high:
        out += "X-Priority: 1 (Highest)\r\nImportance: high\r\nX-MSMail-Priority: High\r\n";
        return;
    case Priority::normal:
        return;
    case Priority::low:
        out += "X-Priority: 5 (Lowest)\r\nImportance: low\r\nX-MSMail-Priority: Low\r\n";
        return;
    }
}

void append_unsubscribe(std::string& out, const Unsubscribe& unsubscribe)
{
    HeaderField field(out, "List-Unsubscribe");
    field.put(" <");
    field.put(unsubscribe.url.str());
    field.put(">");
    if (unsubscribe.mailto) {
        const std::string link = "<" + mailto_link(*unsubscribe.mailto) + ">";
        field.put(",");
        field.blank(link.size());
        field.put(link);
    }
    field.end();
    out += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"; // RFC 8058 section 3.1
}

std::string mailto_link(const MailAddress& address)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    constexpr std::string_view marks = "-._~!$'*+@"; // RFC 6068 section 2; & ; = and others would mean something there
    std::string link = "mailto:";
    for (const char c : address.str()) {
        const bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (is_alnum || marks.find(c) != std::string_view::npos) {
            link += c;
        } else {
            const auto octet = static_cast<unsigned char>(c);
            const std::array<char, 3> escape = {'%', digits[octet >> 4], digits[octet & 15]};
            link.append(escape.data(), escape.size());
        }
    }
    return link;
}

bool is_said_otherwise(const Message& message, const HeaderName& name)
{
    const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
        return std::ranges::any_of(names,
                                   [&](std::string_view n) { return equals_ignoring_ascii_case(name.str(), n); });
    };
    if (message.priority != Priority::normal &&
        is_one_of({"X-Priority", "Importance", "X-MSMail-Priority", "Priority"}))
        return true;
    return message.unsubscribe && is_one_of({"List-Unsubscribe", "List-Unsubscribe-Post"});
}

} // namespace mailroom::mime
