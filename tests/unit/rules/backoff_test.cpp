#include "service/rules/backoff.hpp"

#include <gtest/gtest.h>

#include <array>

namespace mailroom::rules {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr std::array<int, 9> steps_in_minutes{1, 5, 15, 30, 60, 120, 240, 240, 240};

TEST(Backoff, InTheMiddleOfItsRangeIsTheStep)
{
    for (std::size_t i = 0; i < steps_in_minutes.size(); ++i)
        EXPECT_EQ(backoff(static_cast<int>(i) + 1, 0.5), minutes(steps_in_minutes[i])) << "attempt " << i + 1;
}

TEST(Backoff, StaysWithinAQuarterOfTheStep)
{
    for (std::size_t i = 0; i < steps_in_minutes.size(); ++i)
        for (const double chance : {0.0, 0.1, 0.9, 0.999999}) {
            const milliseconds step = minutes(steps_in_minutes[i]);
            EXPECT_GE(backoff(static_cast<int>(i) + 1, chance), step * 3 / 4);
            EXPECT_LT(backoff(static_cast<int>(i) + 1, chance), step * 5 / 4);
        }
}

TEST(Backoff, GrowsWithChance)
{
    EXPECT_LT(backoff(1, 0.2), backoff(1, 0.3));
}

TEST(Backoff, HasNoHolesAtItsEnds)
{
    EXPECT_EQ(backoff(0, 0.5), minutes(1));
    EXPECT_EQ(backoff(-7, 0.5), minutes(1));
    EXPECT_EQ(backoff(2'000'000'000, 0.5), minutes(240));
}

} // namespace
} // namespace mailroom::rules
