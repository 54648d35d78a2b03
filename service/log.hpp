// The service's log: one line per event, by spdlog. Texts from outside are made printable where they enter (transport).
#pragma once

#include "config/service_file.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace mailroom::log {

// Until this is called, lines go to standard error. The error names the file that cannot be written.
Result<void> open(const ServiceFile::Log& settings);
void close(); // writes out what is buffered

bool enabled(LogLevel level);
void write(LogLevel level, std::string_view line);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(LogLevel::debug))
        write(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(LogLevel::info))
        write(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args)
{
    write(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args)
{
    write(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace mailroom::log
