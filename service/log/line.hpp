// A line of the log as data, and the three forms in which it is written. Pure. Here, and nowhere else, what came from
// outside (replies, names, subjects) is made printable, whatever the form.
#pragma once

#include "config/service_file.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mailroom::log {

struct Field {
    std::string_view name; // a literal: lower case and underscores
    std::variant<std::string, std::int64_t> value;
};
using Fields = std::vector<Field>;

struct Line {
    std::chrono::system_clock::time_point time;
    LogLevel level = LogLevel::info;
    std::string_view id; // of this kind of line, stable; docs/operations.md has them all
    std::string_view text;
    const Fields& fields;
};

inline constexpr std::size_t max_text =
    4096; // octets of a line's text, ours: the longest says what is wrong and what to do
inline constexpr std::size_t max_value = 2048; // octets of a field, ours: a server's reply has at most 1,024

// 2026-12-01T08:30:00.125Z info sent: uid=0b7e account=erp reply="250 2.0.0 Ok: queued"
std::string as_text(const Line& line);
// {"time":"2026-12-01T08:30:00.125Z","level":"info","id":"sent","uid":"0b7e",...}; "text" where there is one.
std::string as_json(const Line& line);
// The journal's own fields, KEY=value, each with a line end of its own; MESSAGE is as in the text.
std::string as_journal(const Line& line);

} // namespace mailroom::log
