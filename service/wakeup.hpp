// One coroutine waits, others wake it; a wake-up that comes before the wait is not lost. For one io_context thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>

namespace mailroom {

class Wakeup {
public:
    explicit Wakeup(const boost::asio::any_io_executor& executor) : timer_(executor) {}

    void wake()
    {
        pending_ = true;
        timer_.cancel();
    }

    boost::asio::awaitable<void> wait_for(std::chrono::steady_clock::duration limit)
    {
        if (!pending_) {
            timer_.expires_after(limit);
            co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        }
        pending_ = false;
    }

private:
    boost::asio::steady_timer timer_;
    bool pending_ = false;
};

} // namespace mailroom
