// Which message may be begun behind the one that a sender still carries.
#include "service/routes.hpp"
#include "tests/unit/service/samples.hpp"

#include <gtest/gtest.h>

namespace mailroom {
namespace {

class BehindTest : public testing::Test {
protected:
    Route& route(const std::string& login)
    {
        return routes.of(route_named("smtp/mail.example:587/" + login), settings, now);
    }

    void push(Route& target, int count, Lane lane = Lane::normal, bool small = true)
    {
        for (int i = 0; i < count; ++i) {
            Job job = samples::job(++last_id, lane);
            if (small)
                job.content = samples::content({"b@example.com"});
            job.claimed.recipients = 1;
            job.route = &target;
            routes.take(job);
            routes.push(std::move(job));
        }
    }

    Routes routes{1}; // one connection for each account
    MailSettings settings;
    Routes::Clock::time_point now{};
    queue::MessageId last_id = 0;
};

TEST_F(BehindTest, TheNextMessageOfTheAccountNeedsNoConnectionOfItsOwn)
{
    Route& erp = route("erp");
    push(erp, 3);
    const Job first = routes.pop(now).value();
    EXPECT_FALSE(routes.pop(now)) << "its only connection is in use";
    const Job second = routes.pop_behind(erp, now).value();
    EXPECT_EQ(second.claimed.id, first.claimed.id + 1);
    EXPECT_EQ(erp.active, 1);
    erp.end(first.charged, Route::Ended::served, now);
    erp.take_over(now);
    EXPECT_EQ(erp.active, 1);
    EXPECT_EQ(routes.ready(), 1);
}

TEST_F(BehindTest, AnotherAccountThatWaitsForASenderComesFirst)
{
    Route& erp = route("erp");
    Route& crm = route("crm");
    push(erp, 2);
    const Job first = routes.pop(now).value();
    push(crm, 1, Lane::urgent);
    EXPECT_FALSE(routes.pop_behind(erp, now));
    EXPECT_EQ(routes.pop(now)->route, &crm) << "the question has cost nobody his turn";
    EXPECT_TRUE(routes.pop_behind(erp, now)) << "the other account has no connection left either";
}

TEST_F(BehindTest, WhatIsLargeGoesOnItsOwn)
{
    Route& erp = route("erp");
    push(erp, 1);
    push(erp, 1, Lane::normal, false);
    const Job first = routes.pop(now).value();
    EXPECT_FALSE(routes.pop_behind(erp, now));
    EXPECT_EQ(routes.ready(), 1);
}

TEST_F(BehindTest, NothingBeginsAtAnAccountThatIsBlockedOrProving)
{
    Route& erp = route("erp");
    push(erp, 3);
    const Job first = routes.pop(now).value();
    erp.proving = true;
    EXPECT_FALSE(routes.pop_behind(erp, now));
    erp.proving = false;
    erp.block(now + std::chrono::seconds(1), "away");
    EXPECT_FALSE(routes.pop_behind(erp, now));
    erp.unblock();
    EXPECT_TRUE(routes.pop_behind(erp, now));
}

TEST_F(BehindTest, WhatWaitsTooLongGoesNextByAnotherConnection)
{
    Route& erp = route("erp");
    push(erp, 3);
    const Job first = routes.pop(now).value();
    Job second = routes.pop_behind(erp, now).value();
    const auto id = second.claimed.id;
    routes.give_back(std::move(second));
    EXPECT_EQ(routes.ready(), 2);
    EXPECT_EQ(erp.ready_up_to(Lane::bulk), 2);
    EXPECT_EQ(erp.behind, 0);
    erp.end(first.charged, Route::Ended::served, now);
    EXPECT_EQ(routes.pop(now)->claimed.id, id);
}

TEST_F(BehindTest, TheMinuteCountsAMessageWhenItsTurnComes)
{
    Route& erp = route("erp");
    push(erp, 4);
    now += std::chrono::hours(1);
    erp.minute.limit(2, now);
    now += std::chrono::minutes(2); // what went before the limit is not known
    const Job first = routes.pop(now).value();
    ASSERT_TRUE(routes.pop_behind(erp, now));
    now += std::chrono::minutes(5); // the server takes its time
    EXPECT_EQ(erp.may_begin(now), 0) << "its only connection is in use";
    erp.end(first.charged, Route::Ended::served, now);
    erp.take_over(now);
    EXPECT_EQ(erp.minute.available(now), 1) << "the second goes now, whenever it was begun";
}

TEST_F(BehindTest, TheLimitOfAMinuteAndTheRecipientsOfADayHold)
{
    Route& erp = route("erp");
    push(erp, 3);
    erp.minute.limit(2, now);
    now += std::chrono::minutes(2); // what went before the limit is not known
    const Job first = routes.pop(now).value();
    ASSERT_TRUE(routes.pop_behind(erp, now));
    EXPECT_FALSE(routes.pop_behind(erp, now));

    Route& crm = route("crm");
    crm.limits.recipients_per_day = 10;
    crm.granted = 1;
    push(crm, 2);
    ASSERT_EQ(routes.pop(now)->route, &crm);
    EXPECT_FALSE(routes.pop_behind(crm, now)) << "one recipient was granted, and one was charged";
}

} // namespace
} // namespace mailroom
