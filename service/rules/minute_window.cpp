#include "service/rules/minute_window.hpp"

#include <algorithm>
#include <limits>

namespace mailroom::rules {

void MinuteWindow::limit(int messages, Clock::time_point now)
{
    const bool is_new = limit_ == 0 && messages > 0;
    limit_ = messages;
    if (is_new) {
        // As if the limit had been used up evenly: the first may go when a share of the window is over.
        for (int i = 0; i < messages; ++i)
            sent_.push_back(now - window + Clock::duration(window) * (i + 1) / messages);
    }
    while (sent_.size() > static_cast<std::size_t>(limit_))
        sent_.pop_front();
}

int MinuteWindow::available(Clock::time_point now) const
{
    if (limit_ == 0)
        return std::numeric_limits<int>::max();
    const auto recent = std::ranges::count_if(sent_, [&](Clock::time_point at) { return at > now - window; });
    return limit_ - static_cast<int>(recent);
}

void MinuteWindow::sent(Clock::time_point now)
{
    if (limit_ == 0)
        return;
    sent_.push_back(now);
    if (sent_.size() > static_cast<std::size_t>(limit_))
        sent_.pop_front();
}

MinuteWindow::Clock::time_point MinuteWindow::next(Clock::time_point now) const
{
    return available(now) > 0 ? now : sent_.front() + window;
}

} // namespace mailroom::rules
