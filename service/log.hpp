// The service's log: one line per event, by spdlog, from a thread of its own: mail does not wait for a disk. Used by
// the thread that carries the mail alone.
#pragma once

#include "config/service_file.hpp"

#include "service/log/line.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace mailroom::log {

// Until this is called, lines go to standard error at once. May be called again: with other settings, or to begin the
// file anew after something else has renamed it. The error names what cannot be written; the log goes on as it was.
Result<void> open(const ServiceFile::Log& settings);
void close(); // writes out what waits, for 5 s at most; what comes after it goes to standard error

bool enabled(LogLevel level);
bool has_subjects(); // of messages may be logged

// id: of this kind of line, stable; docs/operations.md lists them. Where the log cannot keep up, lines of debug and
// info are dropped and counted; warnings and errors wait for room first, while it hangs for a second in all.
void write(LogLevel level, std::string_view id, std::string_view text, const Fields& fields = {});

template <class... Args>
void debug(std::string_view id, fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(LogLevel::debug))
        write(LogLevel::debug, id, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void info(std::string_view id, fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(LogLevel::info))
        write(LogLevel::info, id, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void warning(std::string_view id, fmt::format_string<Args...> format, Args&&... args)
{
    write(LogLevel::warning, id, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void error(std::string_view id, fmt::format_string<Args...> format, Args&&... args)
{
    write(LogLevel::error, id, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace mailroom::log
