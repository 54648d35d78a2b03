#include "transport/smtp/reply.hpp"

#include "config/text.hpp"

#include <algorithm>
#include <utility>

namespace mailroom::smtp {
namespace {

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// One to three digits at the front of `text`, taken off; empty: none.
std::string_view take_number(std::string_view& text)
{
    const auto* const end = std::ranges::find_if_not(text, is_digit);
    const auto size = static_cast<std::size_t>(end - text.begin());
    if (size > 3)
        return {};
    const std::string_view number = text.substr(0, size);
    text.remove_prefix(size);
    return number;
}

bool take_dot(std::string_view& text)
{
    if (!text.starts_with('.'))
        return false;
    text.remove_prefix(1);
    return true;
}

// The RFC 3463 status at the front of `text`; empty: none, or one of another class than the code's (RFC 2034 section
// 4).
std::string_view status_at_front(std::string_view text, char category)
{
    const std::string_view whole = text;
    const std::string_view status_class = take_number(text);
    if (status_class.size() != 1 || status_class.front() != category || !take_dot(text))
        return {};
    if (take_number(text).empty() || !take_dot(text) || take_number(text).empty())
        return {};
    if (!text.empty() && text.front() != ' ')
        return {};
    return whole.substr(0, whole.size() - text.size());
}

} // namespace

std::string words_of(const Reply& reply)
{
    return std::to_string(reply.code) + " " + reply.enhanced + (reply.enhanced.empty() ? "" : " ") + reply.text();
}

std::string Reply::text() const
{
    std::string result;
    for (const std::string& line : lines) {
        if (line.empty())
            continue;
        if (!result.empty())
            result += ' ';
        result += line;
        if (result.size() > max_text)
            return printable(result, max_text);
    }
    return result;
}

Result<std::optional<Reply>> ReplyParser::feed(std::string_view& input)
{
    while (!input.empty()) {
        const std::size_t end = input.find('\n');
        const std::string_view part = input.substr(0, end);
        if (line_.size() + part.size() > max_line)
            return Error{"the server sent a reply line of more than 2048 octets"};
        line_ += part;
        size_ += part.size() + 1;
        if (end == std::string_view::npos) {
            input = {};
            break;
        }
        input.remove_prefix(end + 1);
        const auto last = add_line();
        if (!last)
            return last.error();
        if (!*last)
            continue;
        size_ = 0;
        return std::optional(std::exchange(reply_, {}));
    }
    return std::optional<Reply>();
}

Result<bool> ReplyParser::add_line()
{
    std::string_view line = line_;
    if (line.ends_with('\r')) // a bare LF ends a line, too
        line.remove_suffix(1);
    const bool has_code = line.size() >= 3 && std::ranges::all_of(line.substr(0, 3), is_digit);
    const bool has_separator = line.size() == 3 || (line.size() > 3 && (line[3] == ' ' || line[3] == '-'));
    if (!has_code || !has_separator || line[0] < '2' || line[0] > '5')
        return Error{"the server sent what is no SMTP reply: \"" + printable(line, 100) + "\""};
    const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (!reply_.lines.empty() && code != reply_.code)
        return Error{"the server changed the code within one reply, from " + std::to_string(reply_.code) + " to " +
                     std::to_string(code)};
    if (reply_.lines.size() == max_lines || size_ > max_reply)
        return Error{"the server sent a reply of more than 100 lines or 64 KiB"};

    std::string_view text = line.substr(std::min<std::size_t>(line.size(), 4));
    const std::string_view status = status_at_front(text, line[0]);
    text.remove_prefix(std::min(text.size(), status.empty() ? 0 : status.size() + 1));
    if (reply_.enhanced.empty())
        reply_.enhanced = status;
    reply_.code = code;
    reply_.lines.push_back(printable(trimmed(text), max_line));
    const bool last = line.size() == 3 || line[3] == ' ';
    line_.clear();
    return last;
}

} // namespace mailroom::smtp
