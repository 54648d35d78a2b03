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
using testing::ElementsAre;
using testing::Field;
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

queue::Claimed of_nobody(const std::string& code)
{
    queue::Claimed message = samples::claimed();
    message.user_id.reset();
    message.user_code = code;
    return message;
}

class DecisionsBySnapshot : public testing::Test {
protected:
    DecisionsBySnapshot() { decisions.by(snapshot, now); }

    std::vector<queue::RecordedDecision> taken() { return decisions.take_unrecorded(2 * Decisions::most); }

    std::shared_ptr<Snapshot> snapshot = by_world();
    std::chrono::steady_clock::time_point now = std::chrono::steady_clock::time_point() + 100h;
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

TEST_F(DecisionsBySnapshot, LetTheTrialOfARefusedSenderGoAndNoOther)
{
    snapshot->trials.emplace("trial", snapshot->knowledge);
    snapshot->knowledge.refused_pairs = {pair_of(samples::identity())};
    queue::Claimed trial = samples::claimed();
    trial.uid = "trial";
    EXPECT_NE(decisions.on(samples::claimed()).decision.hold(), nullptr);
    EXPECT_EQ(decisions.on(trial).decision.hold(), nullptr);
    EXPECT_NE(decisions.on(samples::claimed()).decision.hold(), nullptr);
}

TEST_F(DecisionsBySnapshot, AreRecordedOnceForAllThatIsDecidedAlike)
{
    const auto first = decisions.on(samples::claimed(7));
    const auto recorded = taken();
    ASSERT_THAT(recorded, ElementsAre(Field(&queue::RecordedDecision::id, first.id)));
    EXPECT_EQ(boost::json::parse(recorded.front().why).at("table_row").as_string(), first.decision.table_row);
    queue::Claimed other = samples::claimed(8);
    other.user_code = "anna"; // as it was named
    EXPECT_EQ(decisions.on(other).id, first.id);
    EXPECT_FALSE(decisions.has_unrecorded());
    EXPECT_NE(decisions.on(mobile()).id, first.id);
    EXPECT_THAT(taken(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, FollowTheSettingsAndAreRecordedAgainOnlyWhereTheseDecideOtherwise)
{
    const auto before = decisions.on(samples::claimed());
    const auto before_mobile = decisions.on(mobile());
    EXPECT_THAT(taken(), SizeIs(2));
    rules::samples::World world = rules::samples::world();
    world.anna().account = "other@erp.example";
    decisions.by(by_world(world), now);
    EXPECT_NE(decisions.on(samples::claimed()).id, before.id);
    EXPECT_EQ(decisions.on(mobile()).id, before_mobile.id);
    EXPECT_THAT(taken(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, ThatCouldNotBeRecordedComeBackOnce)
{
    decisions.on(samples::claimed());
    for (int failures = 0; failures < 3; ++failures) {
        decisions.give_back(taken());
        decisions.by(by_world(), now);
        decisions.record_anew();
        decisions.on(samples::claimed());
    }
    EXPECT_THAT(taken(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, AreTakenAtMostSoManyAtATime)
{
    for (const char* code : {"X", "Y", "Z"})
        decisions.on(of_nobody(code));
    EXPECT_THAT(decisions.take_unrecorded(2), SizeIs(2));
    EXPECT_THAT(decisions.take_unrecorded(2), SizeIs(1));
    EXPECT_THAT(decisions.take_unrecorded(2), IsEmpty());
}

TEST_F(DecisionsBySnapshot, HaveALimitBeyondWhichAStoryIsWithoutWords)
{
    for (std::size_t i = 0; i < Decisions::most + 10; ++i)
        decisions.on(of_nobody("U" + std::to_string(i)));
    EXPECT_THAT(taken(), SizeIs(Decisions::most));
}

TEST_F(DecisionsBySnapshot, AreRecordedAnewTwiceADayAndForAnotherDatabase)
{
    decisions.on(samples::claimed());
    EXPECT_THAT(taken(), SizeIs(1));
    decisions.by(snapshot, now + 11h);
    decisions.on(samples::claimed());
    EXPECT_THAT(taken(), IsEmpty());
    decisions.by(snapshot, now + 12h);
    decisions.on(samples::claimed());
    EXPECT_THAT(taken(), SizeIs(1));
    decisions.record_anew();
    decisions.on(samples::claimed());
    EXPECT_THAT(taken(), SizeIs(1));
}

TEST_F(DecisionsBySnapshot, HoldWhatWouldGoAsSomebodyElseThanBefore)
{
    queue::Claimed message = samples::claimed();
    const auto free = decisions.on(message);
    message.pinned = to_json(rules::PinnedIdentity{free.decision.identity()->from, free.decision.identity()->sender});
    EXPECT_EQ(decisions.on(message).id, free.id);
    const auto other = to_json(rules::PinnedIdentity{{{}, samples::address("old@erp.example")}, std::nullopt});
    for (const std::string& pinned : {other, std::string("nonsense")}) {
        message.pinned = pinned;
        const auto held = decisions.on(message);
        ASSERT_NE(held.decision.hold(), nullptr);
        EXPECT_EQ(held.decision.hold()->reason, rules::HoldReason::identity_changed);
        EXPECT_NE(held.id, free.id);
    }
    EXPECT_EQ(decisions.on(samples::claimed()).id, free.id) << "the pin is of one message";
}

// Its words are read for as long as the log is kept.
TEST(KeptDecision, OfAnOlderVersionIsTold)
{
    const auto kept = boost::json::parse(R"~({"table_row": "S13", "outcome": "hold", "account": null,
        "hold": {"reason": "config_incomplete", "subjects": [], "text": "config_incomplete(user BEN: Password)",
                 "remedy": "An administrator must fill in Password of user BEN."},
        "steps": [{"step": 6, "question": "everything that is needed is there",
                   "settings": [{"setting": "user BEN: password", "value": null, "origin": "stored"}],
                   "result": "S13: held: config_incomplete(user BEN: Password)"}]})~");
    EXPECT_EQ(explain::to_text(kept.as_object()), " 6. everything that is needed is there\n"
                                                  "      user BEN: password = (none) (stored)\n"
                                                  "      -> S13: held: config_incomplete(user BEN: Password)\n"
                                                  "what to do: An administrator must fill in Password of user BEN.\n");
}

} // namespace
} // namespace mailroom
