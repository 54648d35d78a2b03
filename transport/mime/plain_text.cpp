#include "transport/mime/plain_text.hpp"

#include <algorithm>

namespace mailroom::mime {

bool is_ascii(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool is_unmistakable(std::string_view text)
{
    if (text.empty())
        return true;
    return text.front() != ' ' && text.back() != ' ' && is_ascii(text) && text.find("=?") == std::string_view::npos;
}

bool is_plain(std::string_view text)
{
    return is_unmistakable(text) && text.find("  ") == std::string_view::npos;
}

std::string quoted(std::string_view text)
{
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            result += '\\';
        result += c;
    }
    result += '"';
    return result;
}

std::size_t quoted_size(std::string_view text)
{
    return text.size() + 2 +
           static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return c == '"' || c == '\\'; }));
}

std::size_t character_end(std::string_view text, std::size_t at)
{
    do
        ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    return at;
}

} // namespace mailroom::mime
