#include "transport/smtp/capabilities.hpp"

#include "config/text.hpp"

#include <charconv>
#include <string_view>

namespace mailroom::smtp {
namespace {

// The next word of `text`, taken off; empty at the end.
std::string_view take_word(std::string_view& text)
{
    text = trimmed(text);
    const std::string_view word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    return word;
}

void add_mechanisms(Capabilities& result, std::string_view words)
{
    result.auth = true;
    for (std::string_view word = take_word(words); !word.empty(); word = take_word(words)) {
        if (equals_ignoring_ascii_case(word, "PLAIN"))
            result.auth_plain = true;
        if (equals_ignoring_ascii_case(word, "LOGIN"))
            result.auth_login = true;
        if (!result.mechanisms.empty())
            result.mechanisms += ' ';
        result.mechanisms += word;
    }
}

std::optional<std::uint64_t> size_from(std::string_view word)
{
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
    if (error != std::errc() || end != word.data() + word.size() || size == 0)
        return {};
    return size;
}

void add_line(Capabilities& result, std::string_view line)
{
    // Servers for Outlook Express before 2000 say "AUTH=LOGIN", often beside the proper line.
    constexpr std::string_view old_auth = "AUTH=";
    if (equals_ignoring_ascii_case(line.substr(0, old_auth.size()), old_auth))
        return add_mechanisms(result, line.substr(old_auth.size()));
    const std::string_view keyword = take_word(line);
    const auto is = [&](std::string_view name) { return equals_ignoring_ascii_case(keyword, name); };
    if (is("STARTTLS"))
        result.starttls = true;
    else if (is("AUTH"))
        add_mechanisms(result, line);
    else if (is("PIPELINING"))
        result.pipelining = true;
    else if (is("8BITMIME"))
        result.eight_bit_mime = true;
    else if (is("SMTPUTF8"))
        result.smtputf8 = true;
    else if (is("ENHANCEDSTATUSCODES"))
        result.enhanced_status_codes = true;
    else if (is("SIZE")) {
        result.size = true;
        result.max_size = size_from(take_word(line));
    }
}

} // namespace

Capabilities parse_capabilities(const Reply& ehlo)
{
    Capabilities result;
    for (std::size_t i = 1; i < ehlo.lines.size(); ++i) // the first line is a greeting
        add_line(result, ehlo.lines[i]);
    return result;
}

bool is_by_known_maker(const Reply& greeting)
{
    const std::string& line = greeting.lines.front();
    return line.find(" ESMTP Postfix") != std::string::npos || line.find(" ESMTP Exim ") != std::string::npos;
}

} // namespace mailroom::smtp
