#include "service/log.hpp"

#include "service/host/journal.hpp"
#include "service/log/file.hpp"
#include "service/log/sink.hpp"

#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/logger.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace mailroom::log {
namespace {

constexpr std::size_t most_waiting = 4096;    // lines, ours: what a busy service says in about half a second
constexpr std::size_t reserve = 64;           // of these, for warnings and errors
constexpr std::size_t file_batch = 64 * 1024; // octets
// Ours: of the thread that carries the mail, with a lease of 20 s to keep, while what takes the lines does not answer.
constexpr auto patience = std::chrono::seconds(1);
constexpr auto last_patience = std::chrono::seconds(5); // at the end, where nothing else is left to do

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

Output standard_error(LogFormat format)
{
    const auto write = [](std::string& lines) -> Result<void> {
        if (std::fwrite(lines.data(), 1, lines.size(), stderr) != lines.size())
            return Error{"standard error cannot be written"};
        return {};
    };
    return {write, format == LogFormat::json ? as_json : as_text, 0, true};
}

// may_rotate: what is written until now may go to the same file and begin a new one, until its last line is written.
Result<Output> output_of(const ServiceFile::Log& settings, bool may_rotate)
{
    const bool is_journal = settings.target == LogTarget::journal ||
                            (settings.target == LogTarget::automatic && settings.format == LogFormat::text &&
                             host::standard_error_is_the_journals() && host::journal_is_there());
    if (is_journal && !host::journal_is_there())
        return Error{R"([log] target: there is no journal here; choose "stderr" or "file")"};
    if (is_journal)
        return Output{host::write_to_journal, as_journal, 0, false};
    if (settings.target != LogTarget::file)
        return standard_error(settings.format);
    auto opened = File::open(settings.file, settings.max_size, settings.keep);
    if (!opened)
        return opened.error();
    const auto file = std::make_shared<File>(*std::move(opened));
    if (may_rotate)
        file->let_go();
    return Output{[file](std::string& lines) { return file->write(lines); },
                  settings.format == LogFormat::json ? as_json : as_text, file_batch, false};
}

class Log {
public:
    Log() : sink_(std::make_shared<Sink>(standard_error(LogFormat::text), nullptr)), logger_(direct()) {}
    ~Log() { retire(last_patience); }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void begin(Output output, const ServiceFile::Log& settings);
    void end();
    void write(const Line& line);
    bool enabled(LogLevel level) const { return logger_->should_log(level_of(level)); }
    bool has_subjects() const { return subjects_; }
    bool has_thread() const { return thread_ != nullptr; }

private:
    std::shared_ptr<spdlog::logger> direct() const { return std::make_shared<spdlog::logger>("mailroom", sink_); }
    bool retire(std::chrono::milliseconds limit);
    bool has_room();
    std::size_t waiting() const { return thread_ ? thread_->queue_size() : 0; }
    void put(const Line& line);
    void tell_dropped();
    void tell(LogLevel level, std::string_view id, const std::string& text);

    Form form_ = as_text;
    bool subjects_ = false;
    bool is_standard_error_ = true;
    std::uint64_t dropped_ = 0;
    std::chrono::steady_clock::duration patience_ = patience; // left, until the log gets on
    std::shared_ptr<Sink> sink_;
    std::shared_ptr<spdlog::details::thread_pool> thread_; // null: lines are written where they are said
    std::shared_ptr<spdlog::logger> logger_;
};

void Log::begin(Output output, const ServiceFile::Log& settings)
{
    const bool is_written = retire(patience);
    form_ = output.form;
    subjects_ = settings.subjects;
    is_standard_error_ = output.is_standard_error;
    patience_ = patience;
    thread_ = std::make_shared<spdlog::details::thread_pool>(most_waiting, 1);
    // Asked on that thread alone, which must not be the one that ends it: no shared pointer.
    const auto others_wait = [thread = thread_.get()] { return thread->queue_size() > 0; };
    sink_ = std::make_shared<Sink>(std::move(output), others_wait);
    logger_ = std::make_shared<spdlog::async_logger>("mailroom", sink_, thread_, spdlog::async_overflow_policy::block);
    logger_->set_level(level_of(settings.level));
    if (!is_written)
        tell(LogLevel::warning, "log_stuck",
             "what the log was written to until now does not take its lines; these wait for it, and are "
             "lost if the daemon ends first");
}

void Log::end()
{
    const bool is_written = retire(last_patience);
    form_ = as_text;
    auto output = standard_error(LogFormat::text);
    if (!is_written && is_standard_error_) // whoever writes there now waits as well
        output.write = [](std::string&) { return Result<void>{}; };
    is_standard_error_ = true;
    sink_ = std::make_shared<Sink>(std::move(output), nullptr);
    const auto level = logger_->level();
    logger_ = direct();
    logger_->set_level(level);
    if (!is_written)
        tell(LogLevel::warning, "log_stuck",
             "what the log is written to does not take its lines: its last ones are lost");
}

// Ends the log's thread behind the last line that waits. False: not within the limit; it goes on by itself, since a
// disk that hangs must not stop the mail.
bool Log::retire(std::chrono::milliseconds limit)
{
    tell_dropped();
    if (!thread_) {
        sink_->flush();
        return true;
    }
    std::promise<void> written;
    const auto is_written = written.get_future();
    std::thread([thread = std::move(thread_), sink = sink_, written = std::move(written)]() mutable {
        thread.reset();
        sink->flush();
        written.set_value();
    }).detach();
    return is_written.wait_for(limit) == std::future_status::ready;
}

void Log::write(const Line& line)
{
    const std::size_t waits = waiting();
    if (waits < most_waiting / 2) {
        patience_ = patience;
        tell_dropped();
    }
    const bool may_wait = line.level >= LogLevel::warning;
    if (may_wait ? has_room() : waits < most_waiting - reserve)
        put(line);
    else
        ++dropped_;
}

// Nobody else adds lines, so the room stays until it is used.
bool Log::has_room()
{
    constexpr auto nap = std::chrono::milliseconds(1);
    while (waiting() >= most_waiting) {
        if (patience_ <= std::chrono::steady_clock::duration::zero())
            return false;
        const auto since = std::chrono::steady_clock::now();
        std::this_thread::sleep_for(nap);
        patience_ -= std::chrono::steady_clock::now() - since;
    }
    return true;
}

void Log::put(const Line& line)
{
    logger_->log(level_of(line.level), spdlog::string_view_t(form_(line)));
}

void Log::tell_dropped()
{
    if (dropped_ > 0 && has_room())
        tell(LogLevel::warning, "log_dropped",
             fmt::format("{} lines were dropped: the log could not keep up. What became of messages is in "
                         "the database all the same",
                         std::exchange(dropped_, 0)));
}

void Log::tell(LogLevel level, std::string_view id, const std::string& text)
{
    const Fields none;
    put({std::chrono::system_clock::now(), level, id, text, none});
}

// The one global of the program: a log line may come from anywhere in this layer.
Log& instance()
{
    static Log log;
    return log;
}

// What waits is often why the program ends. A thread that the log is not for leaves it alone: that of the log goes on
// writing meanwhile, unless it is the one that broke.
void end_with_a_log()
{
    static const auto owner = std::this_thread::get_id();
    static const std::terminate_handler before = std::set_terminate([] {
        if (std::this_thread::get_id() == owner)
            instance().end();
        else
            std::this_thread::sleep_for(patience);
        before();
    });
}

} // namespace

Result<void> open(const ServiceFile::Log& settings)
{
    auto output = output_of(settings, instance().has_thread());
    if (!output)
        return output.error();
    instance().begin(*std::move(output), settings);
    end_with_a_log();
    return {};
}

void close()
{
    instance().end();
}

bool enabled(LogLevel level)
{
    return instance().enabled(level);
}

bool has_subjects()
{
    return instance().has_subjects();
}

void write(LogLevel level, std::string_view id, std::string_view text, const Fields& fields)
{
    Log& log = instance();
    if (log.enabled(level))
        log.write({std::chrono::system_clock::now(), level, id, text, fields});
}

} // namespace mailroom::log
