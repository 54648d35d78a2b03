#include "service/log/sink.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

namespace mailroom::log {
namespace {

// Lines gather for so long, so that a burst costs a wake-up and a write for each hundred of them. Ours: nobody reads
// faster, and a crash takes no more than these with it.
constexpr auto linger = std::chrono::milliseconds(10);

} // namespace

void Sink::sink_it_(const spdlog::details::log_msg& message)
{
    lines_.append(message.payload.data(), message.payload.size());
    ++count_;
    const bool is_urgent = message.level >= spdlog::level::warn;
    if (is_urgent || lines_.size() > output_.batch)
        flush_();
    if (!is_urgent && is_last() && others_wait_)
        std::this_thread::sleep_for(linger);
    if (is_last())
        flush_();
}

void Sink::flush_()
{
    if (lines_.empty())
        return;
    const auto written = output_.write(lines_);
    lines_.clear();
    const std::uint64_t count = std::exchange(count_, 0);
    if (written && lost_ > 0) {
        const std::string text = fmt::format("the log can be written again, {} lines before this one are lost", lost_);
        lost_ = 0;
        tell(LogLevel::warning, "log_resumed", text);
    } else if (!written && std::exchange(lost_, lost_ + count) == 0) {
        tell(LogLevel::error, "log_failed",
             written.error().text + "; mail goes on, its lines are lost until it can be written");
    }
}

void Sink::tell(LogLevel level, std::string_view id, const std::string& text)
{
    const Fields none;
    const Line line{std::chrono::system_clock::now(), level, id, text, none};
    if (!output_.is_standard_error)
        static_cast<void>(std::fputs(as_text(line).c_str(), stderr));
    if (lost_ > 0)
        return; // in the log itself only when it works
    std::string again = output_.form(line);
    if (!output_.write(again))
        lost_ = 1;
}

} // namespace mailroom::log
