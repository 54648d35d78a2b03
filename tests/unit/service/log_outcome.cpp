#include "service/log/outcome.hpp"
#include "tests/unit/service/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace mailroom::log {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::Not;
using testing::Pair;

const auto enqueued = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + 8h;

// An attempt at three recipients, told as name > value.
struct Attempt {
    queue::Claimed claimed = samples::claimed();
    rules::Identity identity = samples::identity();
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de", "c@x.de"});
    Addressing addressing = addressing_of(content, identity).value();
    Delivery delivery{{Verdict::accepted, Scope::message, Cause::reply, Stage::final_dot, 250, "2.0.0", "Ok", {}},
                      {},
                      "smtp.x.de:587"};
    rules::Judgement judgement{rules::Completed{}, {}, {}};
    std::string subject;

    std::map<std::string, std::string> told() const
    {
        const Attempted attempted{"S11", &identity, enqueued + 90s, &delivery, &addressing, subject};
        const Record record = record_of(claimed, attempted, judgement, queue::unsorted);
        return told(attempted, record);
    }
    std::map<std::string, std::string> told(const Attempted& attempted, const Record& record) const
    {
        std::map<std::string, std::string> values;
        for (const auto& [name, value] : fields_of(claimed, attempted, judgement, record, enqueued + 92'500ms))
            values[std::string(name)] = std::holds_alternative<std::string>(value)
                                            ? std::get<std::string>(value)
                                            : std::to_string(std::get<std::int64_t>(value));
        return values;
    }
};

Attempt attempt()
{
    Attempt attempt;
    attempt.claimed.enqueued_at = enqueued;
    attempt.claimed.recipients = 3;
    return attempt;
}

TEST(OutcomeLine, SaysWhatWasSentByWhomToWhichServerAndHowLongItTook)
{
    const auto told = attempt().told();
    EXPECT_THAT(told, Contains(Pair("uid", "0b7e")));
    EXPECT_THAT(told, Contains(Pair("category", "standard")));
    EXPECT_THAT(told, Contains(Pair("row", "S11")));
    EXPECT_THAT(told, Contains(Pair("user", "ANNA")));
    EXPECT_THAT(told, Contains(Pair("account", samples::identity().paired_as)));
    EXPECT_THAT(told, Contains(Pair("from", to_string(samples::identity().from))));
    EXPECT_THAT(told, Contains(Pair("recipients", "3")));
    EXPECT_THAT(told, Contains(Pair("server", "smtp.x.de:587")));
    EXPECT_THAT(told, Contains(Pair("reply", "250 2.0.0 Ok")));
    EXPECT_THAT(told, Contains(Pair("waited_ms", "90000")));
    EXPECT_THAT(told, Contains(Pair("took_ms", "2500")));
    EXPECT_EQ(told.size(), 11U); // and nothing that there is none of
}

TEST(OutcomeLine, NamesWhomTheServerRefused)
{
    Attempt partly = attempt();
    partly.judgement = {
        rules::Completed{rules::Completed::End::partly_sent},
        {},
        {rules::RecipientState::refused, rules::RecipientState::accepted, rules::RecipientState::refused}};
    EXPECT_THAT(partly.told(), Contains(Pair("refused", "a@x.de, c@x.de")));
}

TEST(OutcomeLine, NamesOnlyTheFirstOfManyRefused)
{
    Attempt all = attempt();
    all.content = samples::content({"a@x.de", "b@x.de", "c@x.de", "d@x.de", "e@x.de", "f@x.de", "g@x.de"});
    all.addressing = addressing_of(all.content, all.identity).value();
    all.judgement = {
        rules::Completed{rules::Completed::End::failed}, {}, std::vector(7, rules::RecipientState::refused)};
    EXPECT_THAT(all.told(), Contains(Pair("refused", "a@x.de, b@x.de, c@x.de, d@x.de, e@x.de and 2 more")));
}

TEST(OutcomeLine, SaysWhenADeferredMessageIsTriedAgain)
{
    Attempt deferred = attempt();
    deferred.judgement.transition = rules::RetryAt{60s, true};
    EXPECT_THAT(deferred.told(), Contains(Pair("note", "next attempt in 60 s")));
}

TEST(OutcomeLine, OfAMessageThatNobodyCanSendHasNoAttempt)
{
    Attempt held = attempt();
    const rules::Hold hold{rules::HoldReason::no_user, {}};
    held.judgement = rules::decide(hold);
    const Attempted none{"S1", nullptr, std::nullopt, nullptr, nullptr};
    const Record record = record_of(held.claimed, none, held.judgement, 5);
    const auto told = held.told(none, record);
    EXPECT_EQ(outcome_of(record), "held");
    EXPECT_THAT(told, Contains(Pair("row", "S1")));
    EXPECT_THAT(told, Contains(Pair("waited_ms", "92500"))); // until now
    for (const char* name : {"account", "from", "server", "reply", "took_ms"})
        EXPECT_THAT(told, Not(Contains(Pair(name, testing::_)))) << name;
}

TEST(OutcomeLine, HasTheSubjectOnlyWhereItIsGiven)
{
    Attempt told = attempt();
    EXPECT_THAT(told.told(), Not(Contains(Pair("subject", testing::_))));
    told.subject = "Invoice 4711";
    EXPECT_THAT(told.told(), Contains(Pair("subject", "Invoice 4711")));
}

TEST(OutcomeLine, NeverWaitsLessThanNothing)
{
    Attempt early = attempt();
    early.claimed.enqueued_at = enqueued + 1h; // the database's clock is ahead
    EXPECT_THAT(early.told(), Contains(Pair("waited_ms", "0")));
}

} // namespace
} // namespace mailroom::log
