#include "service/rules/minute_window.hpp"

#include <gtest/gtest.h>

namespace mailroom::rules {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const MinuteWindow::Clock::time_point start = MinuteWindow::Clock::time_point() + std::chrono::hours(5);

TEST(MinuteWindow, WithoutALimitLetsEverythingGo)
{
    MinuteWindow window;
    for (int i = 0; i < 10'000; ++i)
        window.sent(start);
    EXPECT_GT(window.available(start), 10'000);
    EXPECT_EQ(window.next(start), start);
}

TEST(MinuteWindow, TakesAnAccountOfWhichItKnowsNothingForUsedUp)
{
    MinuteWindow window;
    window.limit(30, start);
    EXPECT_EQ(window.available(start), 0);
    EXPECT_EQ(window.available(window.next(start)), 1);
    EXPECT_LE(window.next(start) - start, seconds(3)); // a thirtieth of a minute, and a second to be sure
    EXPECT_EQ(window.available(start + seconds(62)), 30);
}

TEST(MinuteWindow, NeverLetsMoreGoInAnySixtySecondsThanItsLimit)
{
    MinuteWindow window;
    window.limit(10, start);
    std::deque<MinuteWindow::Clock::time_point> sent;
    auto now = start;
    for (int step = 0; step < 4000; ++step, now += milliseconds(100 + 37 * (step % 11))) {
        if (window.available(now) <= 0)
            continue;
        window.sent(now);
        sent.push_back(now);
        while (sent.front() <= now - seconds(60))
            sent.pop_front();
        ASSERT_LE(sent.size(), 10U);
    }
    EXPECT_EQ(sent.size(), 10U); // and it does let them go
}

TEST(MinuteWindow, SaysWhenTheNextMayGo)
{
    MinuteWindow window;
    window.limit(2, start - seconds(200));
    window.sent(start);
    window.sent(start + seconds(10));
    const auto next = window.next(start + seconds(20));
    EXPECT_EQ(window.available(next - milliseconds(1)), 0);
    EXPECT_EQ(window.available(next), 1);
    EXPECT_GE(next, start + seconds(60));
}

TEST(MinuteWindow, KeepsWhatWasSentWhenItsLimitChanges)
{
    MinuteWindow window;
    window.limit(5, start - seconds(200));
    for (int i = 0; i < 5; ++i)
        window.sent(start);
    window.limit(3, start);
    EXPECT_EQ(window.available(start), 0);
    window.limit(8, start);
    EXPECT_EQ(window.available(start), 5);
}

} // namespace
} // namespace mailroom::rules
