#include "config/text.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace mailroom {
namespace {

constexpr std::string_view blanks = " \t\r\n";

char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Octets of the well-formed character that starts at `at`, 0 where there is none (Unicode 15, table 3-7).
std::size_t character_size(std::string_view text, std::size_t at)
{
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[at + i]); };
    const auto continues = [&](std::size_t i, std::uint8_t low, std::uint8_t high) {
        return at + i < text.size() && byte(i) >= low && byte(i) <= high;
    };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80)
        return 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return continues(1, 0x80, 0xBF) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        const std::uint8_t low = lead == 0xE0 ? 0xA0 : 0x80;
        const std::uint8_t high = lead == 0xED ? 0x9F : 0xBF;
        return continues(1, low, high) && continues(2, 0x80, 0xBF) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const std::uint8_t low = lead == 0xF0 ? 0x90 : 0x80;
        const std::uint8_t high = lead == 0xF4 ? 0x8F : 0xBF;
        return continues(1, low, high) && continues(2, 0x80, 0xBF) && continues(3, 0x80, 0xBF) ? 4 : 0;
    }
    return 0;
}

// Where the first octet that is not US-ASCII may stand, at `at` or behind it; eight octets at once, as most text is.
std::size_t skip_ascii(std::string_view text, std::size_t at)
{
    constexpr std::uint64_t beyond_ascii = 0x8080808080808080;
    for (std::uint64_t octets = 0; at + sizeof octets <= text.size(); at += sizeof octets) {
        std::memcpy(&octets, text.data() + at, sizeof octets);
        if ((octets & beyond_ascii) != 0)
            break;
    }
    return at;
}

// C0 and DEL, and C1 in its two octets of UTF-8.
bool has_control(std::string_view text)
{
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<std::uint8_t>(text[i]);
        if (c < 0x20 || c == 0x7F)
            return true;
        if (c == 0xC2 && i + 1 < text.size() && static_cast<std::uint8_t>(text[i + 1]) < 0xA0)
            return true;
    }
    return false;
}

bool is_plain(char c) // US-ASCII that is shown as it is
{
    return c >= ' ' && c <= '~';
}

std::uint32_t code_point(std::string_view character) // well-formed, of more than one octet
{
    std::uint32_t value = static_cast<std::uint8_t>(character.front()) & (0x7FU >> character.size());
    for (const char c : character.substr(1))
        value = (value << 6U) | (static_cast<std::uint8_t>(c) & 0x3FU);
    return value;
}

// Of one well-formed character that is not plain. What is refused moves the cursor, ends a line or turns the direction
// of what follows: C0, C1, DEL, Unicode's line ends and its bidirectional controls.
bool may_be_shown(std::string_view character)
{
    if (character.size() == 1)
        return false;
    const std::uint32_t code = code_point(character);
    const auto is_from_to = [code](std::uint32_t first, std::uint32_t last) { return code >= first && code <= last; };
    return !is_from_to(0x80, 0x9F) && code != 0x061C && !is_from_to(0x200E, 0x200F) && !is_from_to(0x2028, 0x202E) &&
           !is_from_to(0x2066, 0x2069);
}

char instead_of(char c)
{
    return blanks.find(c) != std::string_view::npos ? ' ' : '?';
}

} // namespace

std::string_view trimmed(std::string_view text)
{
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_utf8(std::string_view text)
{
    for (std::size_t at = skip_ascii(text, 0); at < text.size();) {
        const std::size_t size = character_size(text, at);
        if (size == 0)
            return false;
        at += size;
        if (size == 1)
            at = skip_ascii(text, at);
    }
    return true;
}

std::string printable(std::string_view octets, std::size_t max_size)
{
    std::string result;
    result.reserve(std::min(octets.size(), max_size));
    while (!octets.empty()) {
        const auto plain = static_cast<std::size_t>(std::ranges::find_if_not(octets, is_plain) - octets.begin());
        result.append(octets, 0, std::min(plain, max_size - result.size()));
        octets.remove_prefix(plain);
        if (octets.empty())
            break;
        const std::size_t size = character_size(octets, 0); // 0: not UTF-8
        const bool shown = size != 0 && may_be_shown(octets.substr(0, size));
        if (result.size() + (shown ? size : 1) > max_size)
            break;
        if (shown)
            result.append(octets, 0, size);
        else
            result += instead_of(octets.front());
        octets.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return result;
}

bool equals_ignoring_ascii_case(std::string_view a, std::string_view b)
{
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::string ascii_lower(std::string_view text)
{
    std::string result(text);
    std::ranges::transform(result, result.begin(), lower);
    return result;
}

std::string grouped(std::int64_t number)
{
    std::string digits = std::to_string(number);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

std::string count_of(std::int64_t number, std::string_view noun)
{
    std::string text = grouped(number);
    text.append(1, ' ').append(noun).append(number == 1 ? "" : "s");
    return text;
}

Result<HeaderText> HeaderText::make(std::string text)
{
    if (text.size() > max_size)
        return Error{"longer than 8192 octets"};
    if (!is_utf8(text))
        return Error{"not valid UTF-8"};
    if (has_control(text))
        return Error{"contains a control character (a line break, a tab or the like)"};
    return HeaderText(std::move(text));
}

Result<HeaderName> HeaderName::make(std::string name)
{
    const auto printable = [](char c) { return c > 0x20 && c < 0x7F && c != ':'; };
    if (name.empty() || name.size() > 76 || !std::ranges::all_of(name, printable))
        return Error{"not a header name (1 to 76 printable US-ASCII characters without a colon)"};
    return HeaderName(std::move(name));
}

} // namespace mailroom
