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

bool is_written_by_composer(const HeaderName& name)
{
    constexpr std::array<std::string_view, 12> ours = {"date",       "from",         "sender",      "reply-to",
                                                       "to",         "cc",           "bcc",         "subject",
                                                       "message-id", "mime-version", "return-path", "resent-bcc"};
    const std::string lower = ascii_lower(name.str());
    return lower.starts_with("content-") || std::ranges::find(ours, lower) != ours.end();
}

} // namespace mailroom::mime
