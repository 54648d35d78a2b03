#include "service/ready_jobs.hpp"

#include "tests/unit/service/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace mailroom {
namespace {

using samples::job;
using testing::Each;
using testing::ElementsAre;
using testing::Ge;

void push(ReadyJobs& jobs, Lane lane, int count)
{
    for (int i = 0; i < count; ++i)
        jobs.push(job(i, lane));
}

// How many of each lane come next.
std::array<int, lane_count> next(ReadyJobs& jobs, int count)
{
    std::array<int, lane_count> lanes{};
    for (int i = 0; i < count; ++i)
        ++lanes[static_cast<std::size_t>(jobs.pop().value().claimed.lane)];
    return lanes;
}

std::vector<queue::Claimed> claimed(const std::array<int, lane_count>& counts)
{
    std::vector<queue::Claimed> messages;
    for (std::size_t lane = 0; lane < lane_count; ++lane)
        messages.insert(messages.end(), static_cast<std::size_t>(counts[lane]),
                        samples::claimed(1, static_cast<Lane>(lane)));
    return messages;
}

TEST(ReadyJobs, HasNothingToGiveWhenItIsEmpty)
{
    ReadyJobs jobs;
    EXPECT_FALSE(jobs.pop());
    EXPECT_EQ(jobs.size(), 0U);
    jobs.push(job(1, Lane::bulk));
    EXPECT_EQ(jobs.size(), 1U);
    EXPECT_TRUE(jobs.pop());
    EXPECT_FALSE(jobs.pop());
}

TEST(ReadyJobs, KeepsTheOrderWithinALane)
{
    ReadyJobs jobs;
    for (int id = 1; id <= 5; ++id)
        jobs.push(job(id, Lane::normal));
    for (int id = 1; id <= 5; ++id)
        EXPECT_EQ(jobs.pop().value().claimed.id, id);
}

TEST(ReadyJobs, GivesUrgentNormalAndBulkTheirTurnsEightToFourToOne)
{
    ReadyJobs jobs;
    push(jobs, Lane::bulk, 100);
    push(jobs, Lane::normal, 100);
    push(jobs, Lane::urgent, 100);
    for (int round = 0; round < 5; ++round)
        EXPECT_THAT(next(jobs, 13), ElementsAre(8, 4, 1)) << round;
}

TEST(ReadyJobs, BeginsWithTheUrgent)
{
    ReadyJobs jobs;
    push(jobs, Lane::bulk, 1);
    push(jobs, Lane::normal, 1);
    push(jobs, Lane::urgent, 1);
    EXPECT_EQ(jobs.pop().value().claimed.lane, Lane::urgent);
    EXPECT_EQ(jobs.pop().value().claimed.lane, Lane::normal);
    EXPECT_EQ(jobs.pop().value().claimed.lane, Lane::bulk);
}

TEST(ReadyJobs, MixesTheTurnsInsteadOfServingOneLaneAfterTheOther)
{
    ReadyJobs jobs;
    push(jobs, Lane::normal, 50);
    push(jobs, Lane::urgent, 50);
    int in_a_row = 0;
    for (int i = 0; i < 60; ++i) {
        in_a_row = jobs.pop().value().claimed.lane == Lane::urgent ? in_a_row + 1 : 0;
        EXPECT_LE(in_a_row, 2); // two to one
    }
}

TEST(ReadyJobs, SharesAllTurnsAmongTheLanesThatHaveWork)
{
    ReadyJobs jobs;
    push(jobs, Lane::bulk, 30);
    push(jobs, Lane::normal, 30);
    EXPECT_THAT(next(jobs, 25), ElementsAre(0, 20, 5));
    EXPECT_THAT(next(jobs, 20), ElementsAre(0, 10, 10)); // then bulk alone
}

TEST(ReadyJobs, LetsNoLaneSaveTurnsForLater)
{
    ReadyJobs jobs;
    push(jobs, Lane::bulk, 200);
    next(jobs, 100); // urgent and normal had nothing meanwhile
    push(jobs, Lane::urgent, 100);
    push(jobs, Lane::normal, 100);
    EXPECT_THAT(next(jobs, 13), ElementsAre(8, 4, 1));
}

TEST(ReadyJobs, AsksForEveryLaneByItsWeightWhenAllAreHungry)
{
    ReadyJobs jobs;
    const queue::LaneShares asked = jobs.shares(256);
    jobs.claimed(asked, claimed(asked.limit));
    EXPECT_THAT(jobs.shares(256).limit, ElementsAre(157, 78, 19));
    EXPECT_THAT(jobs.shares(13).limit, ElementsAre(8, 4, 1));
}

TEST(ReadyJobs, LooksIntoEveryLaneHoweverLittleRoomThereIs)
{
    const ReadyJobs jobs;
    for (const int room : {0, 1, 2, 12})
        EXPECT_THAT(jobs.shares(room).limit, Each(Ge(1))) << room;
}

TEST(ReadyJobs, GivesAllTheRoomToTheOnlyLaneThatIsHungry)
{
    ReadyJobs jobs;
    const queue::LaneShares asked = jobs.shares(256);
    jobs.claimed(asked, claimed({0, 0, asked.limit[2]}));
    EXPECT_EQ(jobs.shares(256).limit[2], 256);
    EXPECT_THAT(jobs.shares(256).limit, Each(Ge(1)));
}

TEST(ReadyJobs, SharesTheRoomAmongTheHungryByTheirWeights)
{
    ReadyJobs jobs;
    const queue::LaneShares asked = jobs.shares(250);
    jobs.claimed(asked, claimed({asked.limit[0] - 1, asked.limit[1], asked.limit[2]}));
    const queue::LaneShares shares = jobs.shares(250);
    EXPECT_EQ(shares.limit[1], 200);
    EXPECT_EQ(shares.limit[2], 50);
}

TEST(ReadyJobs, AsksByTheWeightsAgainWhenALaneHasNoMore)
{
    ReadyJobs jobs;
    const queue::LaneShares asked = jobs.shares(256);
    jobs.claimed(asked, claimed({0, 0, asked.limit[2]}));
    jobs.claimed(jobs.shares(256), claimed({0, 0, 3}));
    EXPECT_EQ(jobs.shares(256).limit, asked.limit);
}

} // namespace
} // namespace mailroom
