#include "service/low_water.hpp"

#include "tests/unit/service/samples.hpp"

#include <gtest/gtest.h>

namespace mailroom {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const LowWater::Clock::time_point start = LowWater::Clock::time_point() + std::chrono::hours(5);
const pg::Timestamp epoch;

queue::Claimed at(seconds run_at, Lane lane = Lane::normal)
{
    queue::Claimed message = samples::claimed(1, lane);
    message.run_at = epoch + run_at;
    return message;
}

pg::Timestamp since(LowWater& low_water, LowWater::Clock::time_point now, Lane lane = Lane::normal)
{
    std::vector<queue::Range> ranges{{queue::unsorted, lane, 256, {}}};
    low_water.mark(ranges, now);
    return ranges.front().since;
}

TEST(LowWater, BeginsAtTheBeginning)
{
    LowWater low_water;
    EXPECT_EQ(since(low_water, start), epoch);
}

TEST(LowWater, GoesOnWhereAnExpensiveLookEnded)
{
    LowWater low_water;
    since(low_water, start);
    low_water.claimed({at(seconds(30)), at(seconds(20))}, start, start + milliseconds(500));
    EXPECT_EQ(since(low_water, start + milliseconds(600)), epoch + seconds(30));
    low_water.claimed({at(seconds(40))}, start + milliseconds(600), start + milliseconds(601));
    EXPECT_EQ(since(low_water, start + milliseconds(700)), epoch + seconds(40));
    EXPECT_EQ(since(low_water, start + milliseconds(700), Lane::bulk), epoch); // of which nothing is known
}

TEST(LowWater, LooksAtAllAgainTheSoonerTheCheaperItWas)
{
    LowWater cheap;
    since(cheap, start);
    cheap.claimed({at(seconds(30))}, start, start + milliseconds(1));
    EXPECT_EQ(since(cheap, start + milliseconds(55)), epoch);

    LowWater dear;
    since(dear, start);
    dear.claimed({at(seconds(30))}, start, start + milliseconds(500));
    EXPECT_EQ(since(dear, start + seconds(25)), epoch + seconds(30));
    EXPECT_EQ(since(dear, start + seconds(26)), epoch);
}

TEST(LowWater, IsNeverBlindForLongerThanHalfAMinute)
{
    LowWater low_water;
    since(low_water, start);
    low_water.claimed({at(seconds(30))}, start, start + seconds(4));
    EXPECT_EQ(since(low_water, start + seconds(35)), epoch);
}

TEST(LowWater, LooksAtAllAgainOnlyLaterWhenALookGotNoAnswer)
{
    LowWater low_water;
    since(low_water, start);
    low_water.claimed({at(seconds(30))}, start, start + milliseconds(1));
    EXPECT_EQ(since(low_water, start + seconds(1)), epoch); // and its statement ran into its limit
    EXPECT_EQ(since(low_water, start + seconds(6)), epoch + seconds(30));
}

TEST(LowWater, LooksAtAllAtOnceWhenMuchMayHaveBeenPutInFrontOfIt)
{
    LowWater low_water;
    since(low_water, start);
    low_water.claimed({at(seconds(30))}, start, start + seconds(4));
    low_water.look_at_all();
    EXPECT_EQ(since(low_water, start + seconds(5)), epoch);
}

TEST(LowWater, SinksToWhatAWholeLookFoundInFrontOfIt)
{
    LowWater low_water;
    since(low_water, start);
    low_water.claimed({at(seconds(30))}, start, start + milliseconds(500));
    since(low_water, start + seconds(26));
    low_water.claimed({at(seconds(5))}, start + seconds(26),
                      start + seconds(27)); // it committed late, and there may be more
    EXPECT_EQ(since(low_water, start + seconds(28)), epoch + seconds(5));
}

TEST(LowWater, LooksAtAllAfterTheClaimThatWasUnderWayWhenThisWasAskedFor)
{
    LowWater low_water;
    since(low_water, start);
    low_water.look_at_all(); // the claim did not see what it is asked for
    low_water.claimed({at(seconds(30))}, start, start + milliseconds(500));
    EXPECT_EQ(since(low_water, start + milliseconds(600)), epoch);
    low_water.claimed({}, start + milliseconds(600), start + milliseconds(1100));
    EXPECT_EQ(since(low_water, start + milliseconds(1200)), epoch + seconds(30));
}

TEST(LowWater, RestsOnlyUntilItMayLookAtAllWhereItDidNot)
{
    LowWater low_water;
    since(low_water, start);
    low_water.claimed({at(seconds(30))}, start, start + milliseconds(100)); // all again after 5 s
    EXPECT_EQ(low_water.rest(seconds(60), start + seconds(1)), seconds(60));
    since(low_water, start + seconds(1));
    low_water.claimed({}, start + seconds(1), start + seconds(1));
    EXPECT_EQ(low_water.rest(seconds(60), start + seconds(1)), milliseconds(4100));
    EXPECT_EQ(low_water.rest(seconds(2), start + seconds(1)), seconds(2));
    EXPECT_EQ(low_water.rest(seconds(60), start + seconds(9)), seconds(0));
    EXPECT_EQ(since(low_water, start + seconds(9)), epoch);
    low_water.claimed({}, start + seconds(9), start + seconds(9));
    EXPECT_EQ(low_water.rest(seconds(60), start + seconds(9)), seconds(60)) << "it has looked at all";
}

TEST(LowWater, RestsOnceAndForAllWhereRangesMayBeLookedAtAtDifferentTimes)
{
    LowWater low_water;
    const auto look = [&](milliseconds now) {
        std::vector<queue::Range> ranges{{queue::unsorted, Lane::normal, 256, {}},
                                         {queue::unsorted, Lane::bulk, 256, {}}};
        low_water.mark(ranges, start + now);
        low_water.claimed({}, start + now, start + now + milliseconds(10)); // all again after half a second
        return low_water.rest(seconds(60), start + now + milliseconds(10));
    };
    since(low_water, start, Lane::bulk);
    low_water.claimed({}, start, start + milliseconds(10));
    EXPECT_EQ(look(milliseconds(100)), milliseconds(500)); // normal: all; bulk: all at 510
    EXPECT_EQ(look(milliseconds(610)), seconds(60));
}

} // namespace
} // namespace mailroom
