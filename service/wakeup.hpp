// One coroutine waits, others wake it; a wake-up that comes before the wait is not lost. For one io_context thread. A
// loop that waits here can be watched: it should come back, from its work or from its wait.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <optional>

namespace mailroom {

class Wakeup {
public:
    using Clock = std::chrono::steady_clock;

    explicit Wakeup(const boost::asio::any_io_executor& executor) : timer_(executor) {}

    void wake()
    {
        if (waiting_ && !pending_)
            due_ = Clock::now();
        pending_ = true;
        timer_.cancel();
    }

    boost::asio::awaitable<void> wait_for(Clock::duration limit)
    {
        if (!pending_) {
            waiting_ = true;
            timer_.expires_after(limit);
            due_ = timer_.expiry();
            co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
            waiting_ = false;
        }
        pending_ = false;
        came_by();
    }

    // The loop gets on, though it did not have to wait here.
    void came_by() { came_by_ = Clock::now(); }

    // Since when the loop is away at its work, or should have ended its wait; a time to come: it may wait until then.
    Clock::time_point away_since() const { return waiting_ ? due_ : came_by_; }

private:
    boost::asio::steady_timer timer_;
    Clock::time_point came_by_ = Clock::now();
    Clock::time_point due_;
    bool waiting_ = false;
    bool pending_ = false;
};

} // namespace mailroom
