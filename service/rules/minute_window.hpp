// How many messages an account may still send in this minute: never more than its limit in any 60 seconds by one
// sender. Whoever takes over does not know what was sent before, and begins at the limit's even pace.
#pragma once

#include <chrono>
#include <deque>

namespace mailroom::rules {

class MinuteWindow {
public:
    using Clock = std::chrono::steady_clock;

    // limit: messages in a minute; 0: no limit. A changed limit keeps what was sent.
    void limit(int messages, Clock::time_point now);

    int available(Clock::time_point now) const;
    void sent(Clock::time_point now);
    Clock::time_point next(Clock::time_point now) const; // when one may be sent

private:
    // The messages arrive at the server a little sooner or later than they were begun here: ours.
    static constexpr std::chrono::seconds window{61};

    int limit_ = 0;
    std::deque<Clock::time_point> sent_; // the last `limit_` of them
};

} // namespace mailroom::rules
