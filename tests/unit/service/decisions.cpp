#include "service/decisions.hpp"

#include "tests/unit/service/samples.hpp"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

namespace mailroom {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;

std::shared_ptr<Snapshot> by_world(const rules::samples::World& world = rules::samples::world())
{
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->settings = world.settings;
    snapshot->knowledge = world.knowledge;
    return snapshot;
}

queue::Claimed mobile()
{
    queue::Claimed message = samples::claimed();
    message.mobile = true;
    message.user_id.reset();
    message.user_code.clear();
    return message;
}

class DecisionsBySnapshot : public testing::Test {
protected:
    DecisionsBySnapshot() { decisions.by(snapshot, now); }

    std::shared_ptr<Snapshot> snapshot = by_world();
    std::chrono::steady_clock::time_point now{1h};
    Decisions decisions;
};

TEST_F(DecisionsBySnapshot, AreThoseOfTheRules)
{
    const auto decided = decisions.on(samples::claimed());
    EXPECT_EQ(decided.decision.table_row, rules::samples::world().resolve().table_row);
    EXPECT_EQ(decided.decision.identity()->account, samples::identity().account);
    EXPECT_EQ(decided.decision.identity()->password,
              &snapshot->settings.users.at(rules::samples::anna_id).password.value());
}

TEST_F(DecisionsBySnapshot, AreRecordedOnceForAllThatIsDecidedAlike)
{
    const auto first = decisions.on(samples::claimed(7));
    ASSERT_THAT(decisions.unrecorded(), SizeIs(1));
    EXPECT_EQ(decisions.unrecorded().front().id, first.why);
    EXPECT_EQ(boost::json::parse(decisions.unrecorded().front().json).at("table_row").as_string(),
              first.decision.table_row);
    decisions.recorded();
    EXPECT_EQ(decisions.on(samples::claimed(8)).why, first.why);
    EXPECT_THAT(decisions.unrecorded(), IsEmpty());
    EXPECT_NE(decisions.on(mobile()).why, first.why);
    EXPECT_THAT(decisions.unrecorded(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, FollowTheSettingsAndHaveTheSameIdWhereNothingChanged)
{
    const auto before = decisions.on(samples::claimed());
    const auto before_mobile = decisions.on(mobile());
    rules::samples::World world = rules::samples::world();
    world.anna().account = "other@erp.example";
    decisions.by(by_world(world), now);
    EXPECT_NE(decisions.on(samples::claimed()).why, before.why);
    EXPECT_EQ(decisions.on(mobile()).why, before_mobile.why);
}

TEST_F(DecisionsBySnapshot, ThatWereNotRecordedWaitForTheNextTime)
{
    decisions.on(samples::claimed());
    decisions.by(by_world(), now);
    EXPECT_THAT(decisions.unrecorded(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, AreRecordedAnewAfterHalfADay)
{
    decisions.on(samples::claimed());
    decisions.recorded();
    decisions.by(snapshot, now + 11h);
    decisions.on(samples::claimed());
    EXPECT_THAT(decisions.unrecorded(), IsEmpty());
    decisions.by(snapshot, now + 12h);
    decisions.on(samples::claimed());
    EXPECT_THAT(decisions.unrecorded(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, HoldWhatWouldGoAsSomebodyElseThanBefore)
{
    queue::Claimed message = samples::claimed();
    const auto free = decisions.on(message);
    message.pinned = to_json(rules::PinnedIdentity{free.decision.identity()->from, free.decision.identity()->sender});
    EXPECT_EQ(decisions.on(message).why, free.why);
    message.pinned = to_json(rules::PinnedIdentity{{{}, samples::address("old@erp.example")}, std::nullopt});
    for (const std::string& pinned : {message.pinned, std::string("nonsense")}) {
        message.pinned = pinned;
        const auto held = decisions.on(message);
        ASSERT_NE(held.decision.hold(), nullptr);
        EXPECT_EQ(held.decision.hold()->reason, rules::HoldReason::identity_changed);
        EXPECT_NE(held.why, free.why);
    }
    EXPECT_EQ(decisions.on(samples::claimed()).why, free.why) << "the pin is of one message";
}

} // namespace
} // namespace mailroom
