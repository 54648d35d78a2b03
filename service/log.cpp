#include "service/log.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace mailroom::log {
namespace {

spdlog::level::level_enum level_of(LogLevel level)
{
    switch (level) {
    case LogLevel::debug:
        return spdlog::level::debug;
    case LogLevel::info:
        return spdlog::level::info;
    case LogLevel::warning:
        return spdlog::level::warn;
    case LogLevel::error:
        return spdlog::level::err;
    }
    return spdlog::level::info;
}

spdlog::logger make_standard_error()
{
    spdlog::logger logger("mailroom", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    logger.flush_on(spdlog::level::warn);
    return logger;
}

// The one global of the program: a log line may come from anywhere in this layer.
spdlog::logger& logger()
{
    static spdlog::logger instance = make_standard_error();
    return instance;
}

} // namespace

Result<void> open(const ServiceFile::Log& settings)
{
    if (!settings.file.empty()) {
        try {
            logger().sinks() = {std::make_shared<spdlog::sinks::basic_file_sink_mt>(settings.file)};
        } catch (const spdlog::spdlog_ex& error) {
            return Error{fmt::format("log file {}: {}", settings.file, error.what())};
        }
        logger().set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    }
    logger().set_level(level_of(settings.level));
    logger().flush_on(spdlog::level::trace); // a line that is not yet in the file is missed when it matters most
    return {};
}

void close()
{
    logger().flush();
}

bool enabled(LogLevel level)
{
    return logger().should_log(level_of(level));
}

void write(LogLevel level, std::string_view line)
{
    logger().log(level_of(level), line);
}

} // namespace mailroom::log
