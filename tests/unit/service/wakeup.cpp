#include "service/wakeup.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace mailroom {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

asio::awaitable<void> count_waits(Wakeup& wakeup, std::chrono::steady_clock::duration limit, int times, int& ended)
{
    for (int i = 0; i < times; ++i) {
        co_await wakeup.wait_for(limit);
        ++ended;
    }
}

class WakeupTest : public testing::Test {
protected:
    void start(std::chrono::steady_clock::duration limit, int times)
    {
        asio::co_spawn(io, count_waits(wakeup, limit, times, ended), asio::detached);
        settle();
    }

    // All that can happen without time going by.
    void settle()
    {
        io.restart();
        io.poll();
    }

    asio::io_context io;
    Wakeup wakeup{io.get_executor()};
    int ended = 0;
};

TEST_F(WakeupTest, EndsAWaitThatIsUnderWay)
{
    start(1h, 1);
    EXPECT_EQ(ended, 0);
    wakeup.wake();
    settle();
    EXPECT_EQ(ended, 1);
}

TEST_F(WakeupTest, IsNotLostWhenItComesBeforeTheWait)
{
    wakeup.wake();
    start(1h, 1);
    EXPECT_EQ(ended, 1);
}

TEST_F(WakeupTest, EndsOneWaitHoweverOftenItCame)
{
    wakeup.wake();
    wakeup.wake();
    start(1h, 2);
    EXPECT_EQ(ended, 1);
    wakeup.wake();
    wakeup.wake();
    settle();
    EXPECT_EQ(ended, 2);
}

TEST_F(WakeupTest, IsNotLostBetweenTheEndOfAWaitAndTheNextOne)
{
    start(1h, 3);
    wakeup.wake();
    settle();
    wakeup.wake();
    settle();
    EXPECT_EQ(ended, 2);
}

TEST_F(WakeupTest, EndsByItselfWhenTheTimeIsOver)
{
    asio::co_spawn(io, count_waits(wakeup, 0ms, 3, ended), asio::detached);
    io.run();
    EXPECT_EQ(ended, 3);
}

TEST_F(WakeupTest, IsNotAwayBeforeItsWaitShouldHaveEnded)
{
    const auto before = Wakeup::Clock::now();
    start(1h, 1);
    EXPECT_GE(wakeup.away_since(), before + 1h);
}

TEST_F(WakeupTest, IsAwaySinceItWasWokenAndDidNotCome)
{
    start(1h, 1);
    wakeup.wake();
    const auto woken = wakeup.away_since();
    EXPECT_LE(woken, Wakeup::Clock::now());
    wakeup.wake();
    EXPECT_EQ(wakeup.away_since(), woken) << "another call is no sign of life";
    settle();
    EXPECT_GE(wakeup.away_since(), woken);
}

TEST_F(WakeupTest, IsAwayAtItsWorkSinceItsLastWait)
{
    start(0ms, 1);
    io.restart();
    io.run();
    const auto since = wakeup.away_since();
    EXPECT_LE(since, Wakeup::Clock::now());
    wakeup.wake();
    EXPECT_EQ(wakeup.away_since(), since) << "it works, and was called meanwhile";
    wakeup.came_by();
    EXPECT_GE(wakeup.away_since(), since);
}

} // namespace
} // namespace mailroom
