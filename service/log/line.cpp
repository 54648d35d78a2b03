#include "service/log/line.hpp"

#include "config/text.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace mailroom::log {
namespace {

namespace json = boost::json;

std::string_view name_of(LogLevel level)
{
    switch (level) {
    case LogLevel::debug:
        return "debug";
    case LogLevel::info:
        return "info";
    case LogLevel::warning:
        return "warning";
    case LogLevel::error:
        return "error";
    }
    return "info";
}

int priority_of(LogLevel level) // syslog's, RFC 5424 section 6.2.1
{
    switch (level) {
    case LogLevel::debug:
        return 7;
    case LogLevel::info:
        return 6;
    case LogLevel::warning:
        return 4;
    case LogLevel::error:
        return 3;
    }
    return 6;
}

// UTC with milliseconds, RFC 3339.
std::string written(std::chrono::system_clock::time_point time)
{
    const auto second = std::chrono::floor<std::chrono::seconds>(time);
    const auto rest = std::chrono::floor<std::chrono::milliseconds>(time - second).count();
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(second)), rest);
}

std::string shown(const Field& field)
{
    if (const auto* const number = std::get_if<std::int64_t>(&field.value))
        return std::to_string(*number);
    return printable(std::get<std::string>(field.value), max_value);
}

// Without quotes, where the value ends at the next blank.
bool is_word(std::string_view value)
{
    return !value.empty() && std::ranges::none_of(value, [](char c) {
        return std::string_view(" \"'\\=").find(c) != std::string_view::npos;
    });
}

void append_quoted(std::string& text, std::string_view value)
{
    text += '"';
    for (const char c : value) {
        if (c == '"' || c == '\\')
            text += '\\';
        text += c;
    }
    text += '"';
}

// id: text name=value name="two words"
std::string message_of(const Line& line)
{
    std::string message(line.id);
    message += ':';
    if (!line.text.empty())
        message += ' ' + printable(line.text, max_text);
    for (const Field& field : line.fields) {
        message.append(1, ' ').append(field.name).append(1, '=');
        const std::string value = shown(field);
        if (is_word(value))
            message += value;
        else
            append_quoted(message, value);
    }
    return message;
}

std::string journal_name(std::string_view name)
{
    std::string result = "MAILROOM_";
    for (const char c : name)
        result += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return result;
}

} // namespace

std::string as_text(const Line& line)
{
    return fmt::format("{} {} {}\n", written(line.time), name_of(line.level), message_of(line));
}

std::string as_json(const Line& line)
{
    json::object object{{"time", written(line.time)},
                        {"level", json::string_view(name_of(line.level))},
                        {"id", json::string_view(line.id)}};
    if (!line.text.empty())
        object.emplace("text", printable(line.text, max_text));
    for (const Field& field : line.fields) {
        if (const auto* const number = std::get_if<std::int64_t>(&field.value))
            object.emplace(json::string_view(field.name), *number);
        else
            object.emplace(json::string_view(field.name), shown(field));
    }
    return json::serialize(object) + "\n";
}

std::string as_journal(const Line& line)
{
    std::string entry = fmt::format("MESSAGE={}\nPRIORITY={}\nSYSLOG_IDENTIFIER=mailroom\nMAILROOM_EVENT={}\n",
                                    message_of(line), priority_of(line.level), line.id);
    for (const Field& field : line.fields)
        entry += journal_name(field.name) + '=' + shown(field) + '\n';
    return entry;
}

} // namespace mailroom::log
