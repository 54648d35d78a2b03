#include "transport/mime/message.hpp"

#include <algorithm>
#include <array>

namespace mailroom::mime {
namespace {

bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// restricted-name of RFC 6838 section 4.2, at most 127 characters.
bool is_restricted_name(std::string_view text)
{
    constexpr std::string_view marks = "!#$&-^_.+";
    const auto allowed = [&](char c) { return is_alnum(c) || marks.find(c) != std::string_view::npos; };
    return !text.empty() && text.size() <= 127 && is_alnum(text.front()) && std::ranges::all_of(text, allowed);
}

} // namespace

Result<MediaType> MediaType::make(std::string_view text)
{
    const auto slash = text.find('/');
    if (slash == std::string_view::npos || !is_restricted_name(text.substr(0, slash)) ||
        !is_restricted_name(text.substr(slash + 1)))
        return Error{"not a media type (type/subtype without parameters, such as application/pdf)"};
    return MediaType(ascii_lower(text));
}

Result<ContentId> ContentId::make(std::string_view text)
{
    const auto allowed = [](char c) { return c > 0x20 && c < 0x7F && c != '<' && c != '>'; };
    if (text.empty() || text.size() > 200 || !std::ranges::all_of(text, allowed))
        return Error{"not a Content-ID (1 to 200 printable US-ASCII characters without blanks and angle brackets)"};
    return ContentId(std::string(text));
}

Result<CalendarMethod> CalendarMethod::make(std::string_view text)
{
    constexpr std::array<std::string_view, 8> methods = {"PUBLISH", "REQUEST", "REPLY",   "ADD",
                                                         "CANCEL",  "REFRESH", "COUNTER", "DECLINECOUNTER"};
    for (const std::string_view method : methods) {
        if (equals_ignoring_ascii_case(text, method))
            return CalendarMethod(std::string(method));
    }
    return Error{"not a calendar's method (PUBLISH, REQUEST, REPLY, ADD, CANCEL, REFRESH, COUNTER or DECLINECOUNTER)"};
}

Result<HttpsUrl> HttpsUrl::make(std::string_view text)
{
    constexpr std::string_view scheme = "https://";
    constexpr std::string_view marks = "-._~:/?#@!$&'()*+;=%";
    const auto allowed = [&](char c) { return is_alnum(c) || marks.find(c) != std::string_view::npos; };
    if (text.size() > max_size)
        return Error{"the link is longer than 900 octets"};
    if (!text.starts_with(scheme) || text.size() == scheme.size() || !is_alnum(text[scheme.size()]) ||
        !std::ranges::all_of(text, allowed))
        return Error{"not an https link (https://host/... of printable US-ASCII characters, others as %XX)"};
    return HttpsUrl(std::string(text));
}

Result<Priority> priority_from(std::string_view text)
{
    if (text == "high")
        return Priority::high;
    if (text == "normal")
        return Priority::normal;
    if (text == "low")
        return Priority::low;
    return Error{"not a priority (high, normal or low)"};
}

bool is_written_by_composer(const HeaderName& name)
{
    constexpr std::array<std::string_view, 12> ours = {"date",       "from",         "sender",      "reply-to",
                                                       "to",         "cc",           "bcc",         "subject",
                                                       "message-id", "mime-version", "return-path", "resent-bcc"};
    const std::string lower = ascii_lower(name.str());
    return lower.starts_with("content-") || std::ranges::find(ours, lower) != ours.end();
}

} // namespace mailroom::mime
