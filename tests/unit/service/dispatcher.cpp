#include "service/dispatcher.hpp"

#include <gtest/gtest.h>

namespace mailroom {
namespace {

using namespace std::chrono_literals;

TEST(Dispatcher, HasNoDeliveryThatGetsOnOnlyWhenAllAreAMinutePastTheirLimits)
{
    const auto now = Progress::Clock::now();
    Progress late;
    Progress later;
    Progress writing; // its outcome: the database has limits of its own
    late.due = now - 3min;
    later.due = now - 10min;
    EXPECT_EQ(Dispatcher::all_stuck_since({&later, &late}, now), late.due + 1min);
    EXPECT_EQ(Dispatcher::all_stuck_since({&later, &late, &writing}, now), std::nullopt);
    late.due = now - 59s;
    EXPECT_EQ(Dispatcher::all_stuck_since({&later, &late}, now), std::nullopt);
    EXPECT_EQ(Dispatcher::all_stuck_since({}, now), std::nullopt);
}

} // namespace
} // namespace mailroom
