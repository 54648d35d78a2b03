#include "service/routes.hpp"

#include "tests/unit/service/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace mailroom {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Each;
using testing::ElementsAre;
using testing::Ge;
using testing::IsEmpty;
using testing::SizeIs;

constexpr queue::DispatcherId us = 1;

// Sixteen connections, and one account may use them all unless a test says otherwise.
class RoutesTest : public testing::Test {
protected:
    explicit RoutesTest(int per_account = 16) : routes(per_account) {}

    Route& route(const std::string& login = "erp")
    {
        return routes.of(route_named("smtp/mail.example:587/" + login), settings, now);
    }

    void push(Route& target, Lane lane, int count, int recipients = 1)
    {
        for (int i = 0; i < count; ++i) {
            Job job = samples::job(++last_id, lane);
            job.claimed.recipients = recipients;
            job.route = &target;
            routes.take(job);
            routes.push(std::move(job));
        }
    }

    // How many of each lane come next; each ends before the next begins.
    std::array<int, lane_count> next(int count)
    {
        std::array<int, lane_count> lanes{};
        for (int i = 0; i < count; ++i) {
            const Job job = routes.pop(now).value();
            ++lanes[static_cast<std::size_t>(job.claimed.lane)];
            job.route->end(job.charged, Route::Ended::served, now);
        }
        return lanes;
    }

    int begun() // as many as may be carried at once
    {
        int count = 0;
        while (routes.pop(now))
            ++count;
        return count;
    }

    void park(Route& target, queue::PlaceId place, Lane lane = Lane::normal)
    {
        routes.stands_at(target, place);
        routes.parked(target, lane, now);
    }

    std::vector<queue::Range> ranges(Routes::Idle idle = Routes::Idle::no) { return routes.ranges(idle, us, now); }

    std::vector<queue::Range> parked_ranges()
    {
        auto found = ranges();
        std::erase_if(found, [](const queue::Range& range) { return range.place == queue::unsorted; });
        return found;
    }

    MailSettings settings;
    Routes routes;
    Routes::Clock::time_point now = Routes::Clock::time_point() + std::chrono::hours(5);
    queue::MessageId last_id = 0;
};

class FourPerAccount : public RoutesTest {
protected:
    FourPerAccount() : RoutesTest(4) {}
};

TEST_F(RoutesTest, HaveNothingToGiveWhenNothingIsReady)
{
    route();
    EXPECT_FALSE(routes.pop(now));
    push(route(), Lane::bulk, 1);
    EXPECT_EQ(routes.ready(), 1);
    EXPECT_TRUE(routes.pop(now));
    EXPECT_EQ(routes.ready(), 0);
    EXPECT_FALSE(routes.pop(now));
}

TEST_F(RoutesTest, KeepTheOrderWithinALaneOfAnAccount)
{
    push(route(), Lane::normal, 5);
    for (int id = 1; id <= 5; ++id)
        EXPECT_EQ(routes.pop(now).value().claimed.id, id);
}

TEST_F(RoutesTest, GiveUrgentNormalAndBulkTheirTurnsEightToFourToOne)
{
    for (const Lane lane : {Lane::bulk, Lane::normal, Lane::urgent})
        push(route(), lane, 100);
    for (int round = 0; round < 5; ++round)
        EXPECT_THAT(next(13), ElementsAre(8, 4, 1)) << round;
}

TEST_F(RoutesTest, ShareAllTurnsAmongTheLanesThatHaveWork)
{
    push(route(), Lane::bulk, 30);
    push(route(), Lane::normal, 30);
    EXPECT_THAT(next(25), ElementsAre(0, 20, 5));
    EXPECT_THAT(next(20), ElementsAre(0, 10, 10)); // then bulk alone
}

TEST_F(RoutesTest, LetNoLaneSaveTurnsForLater)
{
    push(route(), Lane::bulk, 200);
    next(100); // urgent and normal had nothing meanwhile
    push(route(), Lane::urgent, 100);
    push(route(), Lane::normal, 100);
    EXPECT_THAT(next(13), ElementsAre(8, 4, 1));
}

TEST_F(RoutesTest, TakeTurnsWithinALane)
{
    push(route("anna"), Lane::normal, 50);
    push(route("ben"), Lane::normal, 2);
    push(route("cleo"), Lane::normal, 2);
    std::string order;
    for (int i = 0; i < 6; ++i)
        order += routes.pop(now)->route->login.front();
    EXPECT_EQ(order, "abcabc");
}

TEST_F(RoutesTest, LetAnUrgentMessagePassTheBulkOfOthers)
{
    push(route("anna"), Lane::bulk, 100);
    push(route("ben"), Lane::urgent, 1);
    EXPECT_EQ(routes.pop(now)->route->login, "ben");
}

TEST_F(FourPerAccount, UseNoMoreConnectionsForAnAccountThanItMayHave)
{
    push(route("anna"), Lane::normal, 100);
    push(route("ben"), Lane::normal, 3);
    EXPECT_EQ(routes.may_begin(now), 4 + 3);
    EXPECT_EQ(begun(), 4 + 3);
    route("anna").end(1, Route::Ended::served, now);
    EXPECT_EQ(begun(), 1);
}

TEST_F(RoutesTest, KeepTheConnectionsOfAServersOwnLimit)
{
    settings.limits[{"mail.example", "*"}] = {0, 3, 0};
    settings.limits[{"mail.example", "big"}] = {0, 7, 0};
    push(route("anna"), Lane::normal, 20);
    EXPECT_EQ(begun(), 3);
    push(route("big"), Lane::normal, 20);
    EXPECT_EQ(begun(), 7);
}

TEST_F(RoutesTest, KeepAMinutesLimitAndSayWhenItGoesOn)
{
    settings.limits[{"mail.example", "*"}] = {60, 0, 0};
    route();
    now += seconds(70);
    push(route(), Lane::normal, 100);
    int sent = 0;
    while (auto job = routes.pop(now)) {
        job->route->end(1, Route::Ended::served, now);
        ++sent;
    }
    EXPECT_EQ(sent, 60);
    ASSERT_TRUE(routes.next_turn(now));
    now = *routes.next_turn(now);
    EXPECT_TRUE(routes.pop(now));
}

TEST_F(RoutesTest, SpendOnlyRecipientsThatWereGranted)
{
    settings.limits[{"mail.example", "*"}] = {0, 0, 100};
    push(route(), Lane::normal, 3, 10);
    EXPECT_EQ(route().wanted, 30);
    EXPECT_FALSE(routes.pop(now));
    route().granted = 25;
    EXPECT_TRUE(routes.pop(now));
    EXPECT_TRUE(routes.pop(now));
    EXPECT_FALSE(routes.pop(now));
    route().end(10, Route::Ended::unserved, now); // the server took none of them
    EXPECT_TRUE(routes.pop(now));
}

TEST_F(RoutesTest, LetAMessageWithMoreRecipientsThanADayAllowsGoOnADayOfItsOwn)
{
    settings.limits[{"mail.example", "*"}] = {0, 0, 100};
    push(route(), Lane::normal, 1, 150);
    route().granted = 100;
    EXPECT_TRUE(routes.pop(now));
    EXPECT_EQ(route().granted, 0);
}

TEST_F(RoutesTest, BeginNothingWhileAnAccountIsBlockedAndThenOneAlone)
{
    push(route("anna"), Lane::normal, 10);
    push(route("ben"), Lane::normal, 1);
    ASSERT_EQ(routes.pop(now)->route->login, "anna");
    EXPECT_EQ(route("anna").troubled(seconds(60), "no answer", now), Route::Trouble::blocked);
    route("anna").end(1, Route::Ended::troubled, now);
    EXPECT_EQ(routes.pop(now)->route->login, "ben");
    EXPECT_FALSE(routes.pop(now));
    EXPECT_EQ(routes.next_turn(now), now + seconds(60));
    now += seconds(60);
    EXPECT_EQ(begun(), 1);
    route("anna").end(1, Route::Ended::served, now);
    EXPECT_EQ(begun(), 8);
}

TEST_F(RoutesTest, CountTheTroublesInARowOfAnAccount)
{
    for (int i = 1; i <= 3; ++i) {
        push(route(), Lane::normal, 1);
        ASSERT_TRUE(routes.pop(now));
        route().troubled(seconds(60), "no answer", now);
        route().end(1, Route::Ended::troubled, now);
        EXPECT_EQ(route().troubles, i);
        now += seconds(60);
    }
    push(route(), Lane::normal, 1);
    ASSERT_TRUE(routes.pop(now));
    route().end(1, Route::Ended::served, now);
    EXPECT_EQ(route().troubles, 0);
}

TEST_F(RoutesTest, SayThatTheTroubleOfAnAccountIsLongUntilItsServerAnswersAgain)
{
    for (int minute = 0; minute < 8; ++minute) {
        EXPECT_EQ(route().is_troubled_for_long(now), minute >= 5) << minute;
        push(route(), Lane::normal, 1);
        ASSERT_TRUE(routes.pop(now));
        route().troubled(seconds(60), minute < 4 ? "no answer" : "still no answer", now);
        route().end(1, Route::Ended::troubled, now);
        now += seconds(60);
    }
    EXPECT_EQ(route().trouble, "still no answer");
    push(route(), Lane::normal, 1);
    ASSERT_TRUE(routes.pop(now));
    route().end(1, Route::Ended::unserved, now);
    EXPECT_FALSE(route().is_troubled_for_long(now));
}

TEST_F(RoutesTest, ForgetTheTroubleOfAnAccountForWhichNothingWaitsAnyMore)
{
    push(route(), Lane::normal, 1);
    ASSERT_TRUE(routes.pop(now));
    Routes::parked(route(), Lane::normal, now);
    route().troubled(seconds(60), "no answer", now);
    route().end(1, Route::Ended::troubled, now);
    const auto look_for = [this](seconds time) {
        for (const auto end = now + time; now < end; now += seconds(1))
            route().watch(now);
    };
    look_for(seconds(240));
    EXPECT_EQ(route().troubles, 1) << "something is parked";
    route().parked.fill(false); // it was cancelled
    look_for(seconds(30));
    EXPECT_EQ(route().troubles, 1) << "it may be on its way to its route";
    look_for(seconds(60));
    EXPECT_FALSE(route().is_troubled_for_long(now));
    EXPECT_EQ(route().troubles, 0) << "the next trouble is the first again";
}

TEST_F(RoutesTest, KeepATroubleWhileTheAccountIsBlocked)
{
    push(route(), Lane::normal, 1);
    ASSERT_TRUE(routes.pop(now));
    route().troubled(seconds(600), "no answer", now);
    route().end(1, Route::Ended::troubled, now);
    now += seconds(590);
    route().watch(now);
    EXPECT_TRUE(route().is_troubled_for_long(now));
}

TEST_F(RoutesTest, ForgetAPauseOnceWhenNothingCameForLongerThanWhatMetItIsPutOff)
{
    route().pause_is_told = true;
    push(route(), Lane::normal, 1);
    now += std::chrono::hours(2);
    EXPECT_EQ(route().watch(now), Route::Pause::goes_on) << "a message is ready";
    ASSERT_TRUE(routes.pop(now));
    route().end(1, Route::Ended::troubled, now);
    EXPECT_EQ(route().watch(now + std::chrono::minutes(19)), Route::Pause::goes_on) << "the message is put off";
    EXPECT_EQ(route().watch(now + std::chrono::minutes(31)), Route::Pause::is_over);
    EXPECT_EQ(route().watch(now + std::chrono::minutes(32)), Route::Pause::goes_on) << "it is told once";
}

TEST_F(RoutesTest, GiveAnAccountFewerConnectionsForAWhileWhenSomeWorkAndOthersAreRefused)
{
    push(route(), Lane::normal, 100);
    ASSERT_EQ(begun(), 16);
    EXPECT_EQ(route().troubled(seconds(60), "too many connections", now), Route::Trouble::fewer_connections);
    route().end(0, Route::Ended::troubled, now);
    EXPECT_EQ(route().connections(now), 15);
    EXPECT_FALSE(route().blocked(now));
    now += std::chrono::minutes(1);
    EXPECT_EQ(route().connections(now), 16);
}

TEST_F(RoutesTest, BlockAnAccountWhenTheLastOfItsConnectionsFails)
{
    push(route(), Lane::normal, 3);
    ASSERT_EQ(begun(), 3);
    for (const auto trouble :
         {Route::Trouble::fewer_connections, Route::Trouble::fewer_connections, Route::Trouble::blocked}) {
        EXPECT_EQ(route().troubled(seconds(60), "no answer", now), trouble);
        route().end(0, Route::Ended::troubled, now);
    }
    EXPECT_TRUE(route().blocked(now));
}

TEST_F(RoutesTest, SpinForNothingThatMayNotBegin)
{
    settings.limits[{"mail.example", "*"}] = {0, 0, 100};
    push(route(), Lane::normal, 3, 10); // and nothing is granted
    EXPECT_EQ(routes.may_begin(now), 0);
}

TEST_F(RoutesTest, ForgetWhatALimitSaidWhenItChanges)
{
    settings.limits[{"mail.example", "*"}] = {0, 0, 100};
    park(route(), 20);
    route().taken_over(us, now);
    route().no_grants_until = now + std::chrono::hours(20);
    EXPECT_THAT(parked_ranges(), IsEmpty());
    settings.limits.clear();
    routes.settings_changed(settings, now);
    ASSERT_THAT(parked_ranges(), SizeIs(1));
    EXPECT_EQ(parked_ranges().front().limit, 256);
}

TEST_F(RoutesTest, StayBlockedWhenTheSettingsOfOthersChange)
{
    push(route(), Lane::normal, 1);
    route().block(now + seconds(60), "no answer");
    routes.settings_changed(settings, now);
    EXPECT_FALSE(routes.pop(now));
}

TEST_F(RoutesTest, GiveBackWhatIsReadyForAnAccount)
{
    push(route("anna"), Lane::normal, 3);
    push(route("anna"), Lane::bulk, 2);
    push(route("ben"), Lane::normal, 1);
    EXPECT_THAT(routes.take_back(route("anna")), SizeIs(5));
    EXPECT_EQ(routes.ready(), 1);
    EXPECT_EQ(begun(), 1);
}

TEST_F(FourPerAccount, HaveRoomForABatchOfTheOnlyAccountAndForLessAmongOthers)
{
    push(route("anna"), Lane::normal, 200);
    EXPECT_TRUE(routes.has_room(route("anna"), Lane::normal, now));
    push(route("ben"), Lane::normal, 1);
    EXPECT_FALSE(routes.has_room(route("anna"), Lane::normal, now));
    EXPECT_TRUE(routes.has_room(route("ben"), Lane::normal, now));
    route("ben").block(now + seconds(1), "no answer");
    EXPECT_FALSE(routes.has_room(route("ben"), Lane::normal, now));
}

// What to claim.

std::array<int, lane_count> limits(const std::vector<queue::Range>& ranges, queue::PlaceId place)
{
    std::array<int, lane_count> found{};
    for (const auto& range : ranges) {
        if (range.place == place)
            found[static_cast<std::size_t>(range.lane)] += range.limit;
    }
    return found;
}

std::vector<queue::Claimed> messages(queue::PlaceId place, const std::array<int, lane_count>& counts)
{
    std::vector<queue::Claimed> found;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
        queue::Claimed message = samples::claimed(1, static_cast<Lane>(lane));
        message.place = place;
        found.insert(found.end(), static_cast<std::size_t>(counts[lane]), message);
    }
    return found;
}

TEST_F(RoutesTest, AskForEveryLaneByItsWeightWhenAllAreHungry)
{
    const auto asked = ranges();
    routes.claimed(asked, messages(queue::unsorted, limits(asked, queue::unsorted)), now);
    EXPECT_THAT(limits(ranges(), queue::unsorted), ElementsAre(157, 78, 19));
}

TEST_F(RoutesTest, GiveAllTheRoomToTheOnlyLaneThatIsHungryButLookIntoTheOthers)
{
    const auto asked = ranges();
    routes.claimed(asked, messages(queue::unsorted, {0, 0, limits(asked, queue::unsorted)[2]}), now);
    const auto again = limits(ranges(), queue::unsorted);
    EXPECT_EQ(again[2], 256);
    EXPECT_THAT(again, Each(Ge(1)));
    routes.claimed(ranges(), messages(queue::unsorted, {0, 0, 3}), now);
    EXPECT_EQ(limits(ranges(), queue::unsorted), limits(asked, queue::unsorted));
}

TEST_F(RoutesTest, SortTheLanesOfWhichLittleIsReadyHoweverMuchBulkIs)
{
    push(route(), Lane::bulk, 380);
    EXPECT_THAT(limits(ranges(), queue::unsorted), ElementsAre(Ge(1), Ge(1), 0));
    EXPECT_TRUE(routes.has_room(route(), Lane::normal, now));
    push(route(), Lane::normal, 200);
    EXPECT_THAT(limits(ranges(), queue::unsorted), ElementsAre(Ge(1), 0, 0));
    EXPECT_THAT(limits(ranges(Routes::Idle::yes), queue::unsorted), Each(Ge(1))); // something else may go
    push(route(), Lane::urgent, 200);
    EXPECT_THAT(ranges(), IsEmpty());
}

TEST_F(RoutesTest, ClaimWhatIsParkedWhereThereIsRoom)
{
    park(route(), 20, Lane::bulk);
    EXPECT_THAT(limits(ranges(), 20), ElementsAre(0, 0, 256));
    push(route(), Lane::bulk, 380);
    EXPECT_THAT(parked_ranges(), IsEmpty());
}

TEST_F(RoutesTest, ClaimNothingFromABlockedAccountAndThenOneMessage)
{
    park(route(), 20);
    route().block(now + seconds(60), "no answer");
    route().proving = true;
    EXPECT_THAT(parked_ranges(), IsEmpty());
    now += seconds(60);
    EXPECT_THAT(limits(ranges(), 20), ElementsAre(0, 1, 0));
}

TEST_F(RoutesTest, ClaimFromALimitedAccountOnlyWhereItIsOurs)
{
    settings.limits[{"mail.example", "*"}] = {0, 3, 0};
    park(route(), 20);
    EXPECT_THAT(parked_ranges(), IsEmpty());
    route().taken_over(us, now);
    EXPECT_THAT(limits(ranges(), 20), ElementsAre(0, 256, 0));
    EXPECT_EQ(limits(routes.ranges(Routes::Idle::no, us + 1, now), 20)[1], 0); // enrolled anew
}

TEST_F(RoutesTest, ForgetAboutParkedMessagesWhenAClaimFoundNoMore)
{
    park(route(), 20);
    routes.claimed(ranges(), {}, now); // ours may not be in the database yet
    EXPECT_TRUE(route().waits_behind_parked(Lane::normal));
    now += seconds(1);
    const auto asked = parked_ranges();
    routes.claimed(asked, messages(20, {0, asked.front().limit, 0}), now);
    EXPECT_TRUE(route().waits_behind_parked(Lane::normal));
    auto behind_a_mark = parked_ranges();
    for (auto& range : behind_a_mark)
        range.since = pg::Timestamp() + seconds(1);
    routes.claimed(behind_a_mark, {}, now);
    EXPECT_TRUE(route().waits_behind_parked(Lane::normal)) << "somebody may have parked in front of it";
    routes.claimed(ranges(), messages(20, {0, 1, 0}), now);
    EXPECT_FALSE(route().waits_behind_parked(Lane::bulk));
}

TEST_F(RoutesTest, LetAMessageWaitOnlyBehindThoseOfTheSameOrAMoreUrgentLane)
{
    park(route(), 20, Lane::normal);
    EXPECT_FALSE(route().waits_behind_parked(Lane::urgent));
    EXPECT_TRUE(route().waits_behind_parked(Lane::normal));
    EXPECT_TRUE(route().waits_behind_parked(Lane::bulk));
}

TEST_F(RoutesTest, AskManyAccountsInTurns)
{
    for (int i = 0; i < 10; ++i)
        park(route("user" + std::to_string(i)), 20 + i);
    std::set<queue::PlaceId> asked;
    for (int claim = 0; claim < 5; ++claim) {
        for (const auto& range : parked_ranges())
            asked.insert(range.place);
    }
    EXPECT_THAT(asked, SizeIs(10));
}

TEST_F(RoutesTest, TakeOverWhatTheDatabaseSaysOfARoute)
{
    const std::string key = "smtp/mail.example:587/erp/at/work";
    routes.waiting({20, key, milliseconds(5'000), "no answer", queue::WaitingRoute::OwnedBy::nobody}, us, settings,
                   now);
    Route& found = *routes.at(20);
    EXPECT_EQ(found.login, "erp/at/work");
    EXPECT_EQ(found.host, "mail.example");
    EXPECT_TRUE(found.anything_parked());
    EXPECT_TRUE(found.blocked(now + milliseconds(4'999)));
    routes.waiting({20, key, milliseconds(0), "", queue::WaitingRoute::OwnedBy::nobody}, us, settings, now);
    EXPECT_FALSE(found.blocked(now));
    found.block(now + seconds(60), "no answer"); // the database does not know it yet
    routes.waiting({20, key, milliseconds(0), "", queue::WaitingRoute::OwnedBy::nobody}, us, settings, now);
    EXPECT_TRUE(found.blocked(now));
}

TEST_F(RoutesTest, TakeWhatTheDatabaseSaysOfALimitForNoTroubleOfTheServer)
{
    settings.limits[{"mail.example", "*"}] = {30, 0, 0};
    route().taken_over(us, now);
    const queue::WaitingRoute full{20, route().key, seconds(30), "the limit", queue::WaitingRoute::OwnedBy::us};
    routes.waiting(full, us, settings, now);
    EXPECT_FALSE(route().blocked(now));
    routes.waiting(full, us + 1, settings, now); // who does not own it cannot tell the two apart
    EXPECT_TRUE(route().blocked(now));
}

TEST(RouteOf, NamesTheServerAndTheLoginThatIsUsedThere)
{
    rules::Identity identity = samples::identity();
    identity.host = " Mail.Example ";
    const SealedSecret secret{1};
    identity.password = &secret;
    identity.account = "ERP@example.com";
    EXPECT_EQ(route_of(identity).key, "smtp/mail.example:587/ERP@example.com");
    EXPECT_EQ(route_of(identity).account, "ERP@example.com at mail.example");
    identity.password = nullptr; // a relay that asks for no login: all who use it share it
    EXPECT_EQ(route_of(identity).key, "smtp/mail.example:587/");
}

} // namespace
} // namespace mailroom
