#include "service/rules/backoff.hpp"
#include "service/rules/decide.hpp"
#include "tests/unit/rules/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::rules {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto open = RecipientState::open;
constexpr auto accepted = RecipientState::accepted;
constexpr auto refused = RecipientState::refused;
constexpr auto in_doubt = RecipientState::in_doubt;
constexpr double middle = 0.5; // where the back-off is exactly its step

Outcome outcome(Verdict verdict, Scope scope, Cause cause = Cause::reply, Stage stage = Stage::final_dot)
{
    Outcome result;
    result.verdict = verdict;
    result.scope = scope;
    result.cause = cause;
    result.stage = stage;
    return result;
}

const Outcome taken = outcome(Verdict::accepted, Scope::message);
const Outcome doubtful = outcome(Verdict::in_doubt, Scope::server, Cause::connection_lost);
const Outcome recipient_taken = outcome(Verdict::accepted, Scope::recipient, Cause::reply, Stage::rcpt_to);
const Outcome recipient_refused = outcome(Verdict::give_up, Scope::recipient, Cause::reply, Stage::rcpt_to);
const Outcome recipient_later = outcome(Verdict::try_again, Scope::recipient, Cause::reply, Stage::rcpt_to);
const Outcome one_too_many = outcome(Verdict::try_again, Scope::recipient, Cause::too_many_recipients, Stage::rcpt_to);

// One attempt with ANNA's account, and what was known before.
struct Attempt {
    Delivery delivery;
    History history;
    Policy policy;
    double chance = middle;

    Attempt(Outcome transaction, std::vector<Outcome> recipients = {})
    {
        delivery.outcome = std::move(transaction);
        delivery.recipients = std::move(recipients);
        history.recipients = std::max(1, static_cast<int>(delivery.recipients.size()));
    }
    Judgement judged() const
    {
        static const samples::World world = samples::world();
        static const Decision decision = world.resolve();
        return decide(delivery, *decision.identity(), history, policy, chance);
    }
};

template <class T>
const T& as(const Judgement& judgement)
{
    return std::get<T>(judgement.transition);
}

Completed::End end_of(const Judgement& judgement)
{
    return as<Completed>(judgement).end;
}

// ---- Accepted, and recipients ---------------------------------------------------------------------------------------

TEST(Decide, AnAcceptedMessageIsSent)
{
    const Judgement judgement = Attempt(taken).judged();
    EXPECT_EQ(end_of(judgement), Completed::End::sent);
    EXPECT_THAT(judgement.recipients, IsEmpty());
    EXPECT_EQ(judgement.consequence, Consequence::none);
}

TEST(Decide, SomeRecipientsRefusedMakeItPartlySent)
{
    const Judgement judgement = Attempt(taken, {recipient_taken, recipient_refused}).judged();
    EXPECT_EQ(end_of(judgement), Completed::End::partly_sent);
    EXPECT_THAT(judgement.recipients, ElementsAre(accepted, refused));
}

TEST(Decide, AllRecipientsRefusedMakeItFail)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::give_up, Scope::recipient), {recipient_refused, recipient_refused}).judged();
    EXPECT_EQ(end_of(judgement), Completed::End::failed);
    EXPECT_THAT(judgement.recipients, IsEmpty());
}

TEST(Decide, TheMessageIsTriedAgainWhileARecipientIsOpen)
{
    const Judgement judgement = Attempt(taken, {recipient_taken, recipient_later, recipient_refused}).judged();
    EXPECT_EQ(as<RetryAt>(judgement).delay, backoff(1, middle));
    EXPECT_TRUE(as<RetryAt>(judgement).counted);
    EXPECT_THAT(judgement.recipients, ElementsAre(accepted, open, refused));
}

TEST(Decide, EarlierRecipientsCountAtTheEnd)
{
    Attempt last(taken);
    last.history.refused_before = true;
    EXPECT_EQ(end_of(last.judged()), Completed::End::partly_sent);
    EXPECT_THAT(last.judged().recipients, ElementsAre(accepted));

    Attempt lost(outcome(Verdict::give_up, Scope::recipient));
    lost.history.served_before = true;
    EXPECT_EQ(end_of(lost.judged()), Completed::End::partly_sent);
    EXPECT_THAT(lost.judged().recipients, ElementsAre(refused));
}

TEST(Decide, TooManyRecipientsSendTheRestAtOnceUncounted)
{
    const Judgement judgement = Attempt(taken, {recipient_taken, one_too_many}).judged();
    EXPECT_EQ(as<RetryAt>(judgement).delay, milliseconds(0));
    EXPECT_FALSE(as<RetryAt>(judgement).counted);
    EXPECT_THAT(judgement.recipients, ElementsAre(accepted, open));
}

TEST(Decide, TooManyRecipientsWithNoneServedWaitLikeAnyOther)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::try_again, Scope::recipient), {recipient_refused, one_too_many}).judged();
    EXPECT_EQ(as<RetryAt>(judgement).delay, backoff(1, middle));
    EXPECT_TRUE(as<RetryAt>(judgement).counted);
}

TEST(Decide, TroubleOfOthersToldAtARecipientLosesNobody)
{
    const Outcome quota = outcome(Verdict::give_up, Scope::account, Cause::quota, Stage::rcpt_to);
    EXPECT_THAT(Attempt(taken, {recipient_taken, quota}).judged().recipients, ElementsAre(accepted, open));
}

TEST(Decide, ARecipientWithoutAnOutcomeIsNeverTakenForServed)
{
    Attempt attempt(taken, {recipient_taken});
    attempt.history.recipients = 2;
    EXPECT_THAT(attempt.judged().recipients, ElementsAre(accepted, open));
}

// Transports may repeat the transaction's outcome for each recipient whom the server took.
TEST(Decide, ARecipientWithTheTransactionsOwnOutcomeSharesItsFate)
{
    EXPECT_EQ(end_of(Attempt(taken, {taken, recipient_refused}).judged()), Completed::End::partly_sent);
    EXPECT_THAT(Attempt(doubtful, {doubtful, recipient_refused}).judged().recipients, ElementsAre(in_doubt, refused));
    const Outcome lost = outcome(Verdict::try_again, Scope::server, Cause::connection_lost, Stage::content);
    EXPECT_THAT(Attempt(lost, {lost, recipient_refused}).judged().recipients, ElementsAre(open, refused));
    const Outcome never = outcome(Verdict::give_up, Scope::message);
    EXPECT_EQ(end_of(Attempt(never, {never, recipient_later}).judged()), Completed::End::failed);
}

// ---- The message ----------------------------------------------------------------------------------------------------

TEST(Decide, ARefusedMessageFailsForAllWhoWereOpen)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::give_up, Scope::message), {recipient_taken, recipient_later, recipient_refused})
            .judged();
    EXPECT_EQ(end_of(judgement), Completed::End::failed);
    EXPECT_THAT(judgement.recipients, IsEmpty());
}

TEST(Decide, ADeferredMessageWaitsLongerEachTime)
{
    for (int before = 0; before < 19; ++before) {
        Attempt attempt(outcome(Verdict::try_again, Scope::message));
        attempt.history.attempts = before;
        const Judgement judgement = attempt.judged();
        EXPECT_EQ(as<RetryAt>(judgement).delay, backoff(before + 1, middle));
        EXPECT_TRUE(as<RetryAt>(judgement).counted);
        EXPECT_THAT(judgement.recipients, IsEmpty());
    }
}

TEST(Decide, TheLastTryFails)
{
    Attempt attempt(outcome(Verdict::try_again, Scope::message));
    attempt.history.attempts = attempt.policy.max_attempts - 1;
    EXPECT_EQ(end_of(attempt.judged()), Completed::End::failed);
    attempt.history.served_before = true;
    EXPECT_EQ(end_of(attempt.judged()), Completed::End::partly_sent);
}

TEST(Decide, TheLastTryLosesItsOpenRecipientsOnly)
{
    Attempt attempt(taken, {recipient_taken, recipient_later});
    attempt.history.attempts = attempt.policy.max_attempts - 1;
    EXPECT_EQ(end_of(attempt.judged()), Completed::End::partly_sent);
    EXPECT_THAT(attempt.judged().recipients, ElementsAre(accepted, refused));
}

TEST(Decide, AWishOfTheServerIsRespected)
{
    Outcome busy = outcome(Verdict::try_again, Scope::message);
    busy.retry_after = seconds(600);
    Attempt attempt(busy);
    attempt.chance = 0;
    EXPECT_EQ(as<RetryAt>(attempt.judged()).delay, seconds(600));
    attempt.chance = 0.9;
    EXPECT_GT(as<RetryAt>(attempt.judged()).delay, seconds(600)); // not all at once
    attempt.history.attempts = 5;
    EXPECT_EQ(as<RetryAt>(attempt.judged()).delay, backoff(6, 0.9)); // our own delay is longer
}

TEST(Decide, AWishForMoreThanADayIsADay)
{
    for (const seconds wish : {seconds(hours(25)), seconds::max()}) {
        Outcome busy = outcome(Verdict::try_again, Scope::message);
        busy.retry_after = wish;
        EXPECT_EQ(as<RetryAt>(Attempt(busy).judged()).delay, hours(24));
    }
    Outcome nonsense = outcome(Verdict::try_again, Scope::message);
    nonsense.retry_after = seconds(-5);
    EXPECT_EQ(as<RetryAt>(Attempt(nonsense).judged()).delay, backoff(1, middle));
}

TEST(Decide, AWishAtARecipientIsRespected)
{
    Outcome greylisted = recipient_later;
    greylisted.retry_after = seconds(900);
    EXPECT_GE(as<RetryAt>(Attempt(taken, {recipient_taken, greylisted}).judged()).delay, seconds(900));
}

// ---- In doubt -------------------------------------------------------------------------------------------------------

TEST(Decide, TheFirstDoubtIsSentOnceMoreLater)
{
    const Judgement judgement = Attempt(doubtful).judged();
    EXPECT_EQ(as<InDoubt>(judgement).resend_after, minutes(15));
    EXPECT_THAT(judgement.recipients, IsEmpty());
}

TEST(Decide, TheSecondDoubtHolds)
{
    Attempt attempt(doubtful);
    attempt.history.doubts = 1;
    EXPECT_FALSE(as<InDoubt>(attempt.judged()).resend_after);
}

TEST(Decide, ADoubtHoldsAtOnceWhereThePolicySaysSo)
{
    Attempt attempt(doubtful);
    attempt.policy.doubt = Policy::Doubt::hold;
    EXPECT_FALSE(as<InDoubt>(attempt.judged()).resend_after);
}

TEST(Decide, WhateverItsScopeADoubtIsNeverARetry)
{
    for (const Scope scope :
         {Scope::recipient, Scope::message, Scope::sender_identity, Scope::account, Scope::server, Scope::dispatcher})
        for (const Cause cause : {Cause::timed_out, Cause::stopped, Cause::connection_lost, Cause::throttled})
            EXPECT_TRUE(
                std::holds_alternative<InDoubt>(Attempt(outcome(Verdict::in_doubt, scope, cause)).judged().transition));
}

TEST(Decide, OnlyRecipientsWhomTheServerTookAreInDoubt)
{
    const Judgement judgement = Attempt(doubtful, {recipient_taken, recipient_refused}).judged();
    EXPECT_TRUE(as<InDoubt>(judgement).resend_after);
    EXPECT_THAT(judgement.recipients, ElementsAre(in_doubt, refused));
}

TEST(Decide, OpenRecipientsAreServedBeforeADoubtIsDecided)
{
    const Judgement first = Attempt(doubtful, {recipient_taken, recipient_later}).judged();
    EXPECT_TRUE(as<RetryAt>(first).counted);
    EXPECT_THAT(first.recipients, ElementsAre(in_doubt, open));
    Attempt second(taken);
    second.history.doubtful_before = true;
    EXPECT_TRUE(as<InDoubt>(second.judged()).resend_after);
    EXPECT_THAT(second.judged().recipients, ElementsAre(accepted));
}

// ---- The account and the sender -------------------------------------------------------------------------------------

TEST(Decide, ARefusedLoginPausesTheAccountAndUsesUpNoTry)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::give_up, Scope::account, Cause::login_refused, Stage::auth)).judged();
    EXPECT_EQ(describe(as<Held>(judgement).hold), "auth_failed(user ANNA)");
    EXPECT_EQ(judgement.consequence, Consequence::login_refused);
    EXPECT_THAT(judgement.recipients, IsEmpty());
}

TEST(Decide, TheEndOfBasicLoginPausesTheAccountWithThatReason)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::give_up, Scope::account, Cause::basic_login_ended, Stage::auth)).judged();
    EXPECT_EQ(describe(as<Held>(judgement).hold), "basic_login_ended(user ANNA)");
    EXPECT_EQ(judgement.consequence, Consequence::basic_login_ended);
}

TEST(Decide, ARelayThatSuddenlyWantsALoginBlamesNoPassword)
{
    samples::World world = samples::world();
    world.general().server.login = false;
    const Decision decision = world.resolve();
    Attempt attempt(outcome(Verdict::give_up, Scope::account, Cause::login_refused, Stage::mail_from));
    const Judgement judgement = decide(attempt.delivery, *decision.identity(), attempt.history, attempt.policy, middle);
    EXPECT_EQ(as<RetryAt>(judgement).delay, minutes(5));
    EXPECT_EQ(judgement.consequence, Consequence::account_troubled);
}

struct Uncounted {
    const char* what;
    Outcome outcome;
    milliseconds first; // the first delay
    milliseconds last;  // the delay after many
    Consequence consequence = Consequence::account_troubled;
};

TEST(Decide, TroubleThatIsNotTheMessagesUsesUpNoTryAndGrowsToAQuarterOfAnHour)
{
    const std::vector<Uncounted> cases = {
        {"no login offered", outcome(Verdict::give_up, Scope::account, Cause::login_unavailable, Stage::auth),
         minutes(5), minutes(15)},
        {"throttled", outcome(Verdict::try_again, Scope::account, Cause::throttled), minutes(1), minutes(15)},
        {"server busy", outcome(Verdict::try_again, Scope::server, Cause::throttled, Stage::mail_from), minutes(1),
         minutes(15)},
        {"quota", outcome(Verdict::give_up, Scope::account, Cause::quota), hours(1), hours(1)},
        {"account, as it is said", outcome(Verdict::give_up, Scope::account), minutes(1), minutes(15)},
        {"temporary login failure", outcome(Verdict::try_again, Scope::account, Cause::reply, Stage::auth), minutes(1),
         minutes(15)},
        {"no such name", outcome(Verdict::try_again, Scope::server, Cause::name_not_found, Stage::resolve), minutes(1),
         minutes(15)},
        {"no connection", outcome(Verdict::try_again, Scope::server, Cause::connection_refused, Stage::connect),
         minutes(1), minutes(15)},
        {"no greeting", outcome(Verdict::try_again, Scope::server, Cause::timed_out, Stage::greeting), minutes(1),
         minutes(15)},
        {"554 as greeting", outcome(Verdict::give_up, Scope::server, Cause::reply, Stage::greeting), minutes(1),
         minutes(15)},
        {"no TLS", outcome(Verdict::give_up, Scope::server, Cause::tls_failed, Stage::starttls), minutes(1),
         minutes(15)},
        {"certificate", outcome(Verdict::give_up, Scope::server, Cause::certificate, Stage::tls), minutes(1),
         minutes(15)},
        {"lost at AUTH", outcome(Verdict::try_again, Scope::server, Cause::connection_lost, Stage::auth), minutes(1),
         minutes(15)},
        {"no network", outcome(Verdict::try_again, Scope::dispatcher, Cause::none, Stage::resolve), minutes(1),
         minutes(15), Consequence::dispatcher_troubled},
        {"content unreadable",
         outcome(Verdict::try_again, Scope::dispatcher, Cause::content_unavailable, Stage::content), minutes(1),
         minutes(15), Consequence::dispatcher_troubled},
    };
    for (const Uncounted& c : cases) {
        SCOPED_TRACE(c.what);
        Attempt attempt(c.outcome);
        attempt.history.attempts = attempt.policy.max_attempts; // however often it was tried
        const Judgement judgement = attempt.judged();
        EXPECT_FALSE(as<RetryAt>(judgement).counted);
        EXPECT_EQ(as<RetryAt>(judgement).delay, c.first);
        EXPECT_EQ(judgement.consequence, c.consequence);
        attempt.history.deferrals = 30'000;
        EXPECT_EQ(as<RetryAt>(attempt.judged()).delay, c.last);
    }
}

TEST(Decide, WhatAServerAsksOfAnAccountIsRespected)
{
    Outcome throttled = outcome(Verdict::try_again, Scope::account, Cause::throttled);
    throttled.retry_after = seconds(7200);
    EXPECT_GE(as<RetryAt>(Attempt(throttled).judged()).delay, hours(2));
}

TEST(Decide, UncountedRetriesAreSpreadToo)
{
    Attempt attempt(outcome(Verdict::try_again, Scope::server, Cause::connection_refused, Stage::connect));
    attempt.history.deferrals = 10;
    attempt.chance = 0.1;
    const milliseconds early = as<RetryAt>(attempt.judged()).delay;
    attempt.chance = 0.9;
    EXPECT_LT(early, as<RetryAt>(attempt.judged()).delay);
}

TEST(Decide, ARefusedSenderStopsThatPairOfAccountAndFrom)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::give_up, Scope::sender_identity, Cause::sender_refused, Stage::mail_from)).judged();
    EXPECT_EQ(describe(as<Held>(judgement).hold),
              "send_as_denied(user ANNA: anna@erp.example; user ANNA: anna@erp.example)");
    EXPECT_EQ(judgement.consequence, Consequence::sender_refused);
}

TEST(Decide, ASenderPutOffIsNotRefused)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::try_again, Scope::sender_identity, Cause::reply, Stage::mail_from)).judged();
    EXPECT_TRUE(as<RetryAt>(judgement).counted);
    EXPECT_EQ(judgement.consequence, Consequence::none);
}

// ---- The server and this process ------------------------------------------------------------------------------------

TEST(Decide, AServerThatFailsWithinTheMessagesCommandsUsesUpATry)
{
    for (const Stage stage : {Stage::mail_from, Stage::rcpt_to, Stage::data, Stage::content, Stage::final_dot})
        for (const Verdict verdict : {Verdict::try_again, Verdict::give_up}) {
            const Judgement judgement =
                Attempt(outcome(verdict, Scope::server, Cause::connection_lost, stage)).judged();
            EXPECT_TRUE(as<RetryAt>(judgement).counted) << to_string(stage);
            EXPECT_EQ(as<RetryAt>(judgement).delay, backoff(1, middle));
        }
}

TEST(Decide, ARecipientRefusedBeforeTheLinkWasLostStaysRefused)
{
    const Judgement judgement = Attempt(outcome(Verdict::try_again, Scope::server, Cause::connection_lost, Stage::data),
                                        {recipient_refused, recipient_taken})
                                    .judged();
    EXPECT_TRUE(as<RetryAt>(judgement).counted);
    EXPECT_THAT(judgement.recipients, ElementsAre(refused, open));
}

TEST(Decide, AReusedConnectionFoundDeadIsReplacedAtOnce)
{
    Attempt attempt(outcome(Verdict::try_again, Scope::server, Cause::connection_lost, Stage::mail_from));
    attempt.delivery.reused_connection = true;
    EXPECT_EQ(as<RetryAt>(attempt.judged()).delay, milliseconds(0));
    EXPECT_FALSE(as<RetryAt>(attempt.judged()).counted);
    attempt.delivery.outcome.stage = Stage::rcpt_to; // it lived
    EXPECT_TRUE(as<RetryAt>(attempt.judged()).counted);
}

TEST(Decide, AStopHandsTheMessageBackAtOnceAndBlamesNobody)
{
    const Judgement judgement =
        Attempt(outcome(Verdict::try_again, Scope::dispatcher, Cause::stopped, Stage::data)).judged();
    EXPECT_EQ(as<RetryAt>(judgement).delay, milliseconds(0));
    EXPECT_FALSE(as<RetryAt>(judgement).counted);
    EXPECT_EQ(judgement.consequence, Consequence::none);
}

TEST(Decide, ARefusalToResolveHolds)
{
    const Hold hold{HoldReason::key_missing, {Subject{}}};
    const Judgement judgement = decide(hold);
    EXPECT_EQ(as<Held>(judgement).hold, hold);
    EXPECT_EQ(judgement.consequence, Consequence::none);
}

TEST(Decide, WhatExpiredWhileItWasSentIsLeftToTheSweepAndSaysNothingOfOthers)
{
    for (const Stage stage : {Stage::mail_from, Stage::content}) {
        const Judgement judgement =
            Attempt(outcome(Verdict::try_again, Scope::message, Cause::expired, stage)).judged();
        EXPECT_FALSE(as<RetryAt>(judgement).counted);
        EXPECT_GE(as<RetryAt>(judgement).delay, std::chrono::seconds(30)) << "longer than from one sweep to the next";
        EXPECT_EQ(judgement.consequence, Consequence::none);
    }
}

TEST(Decide, NothingUndeliveredEverEndsAsSent)
{
    for (const Verdict verdict : {Verdict::try_again, Verdict::give_up, Verdict::in_doubt})
        for (int scope = 0; scope <= static_cast<int>(Scope::dispatcher); ++scope)
            for (int cause = 0; cause <= static_cast<int>(Cause::expired); ++cause)
                for (int stage = 0; stage <= static_cast<int>(Stage::idle); ++stage) {
                    const Outcome o = outcome(verdict, static_cast<Scope>(scope), static_cast<Cause>(cause),
                                              static_cast<Stage>(stage));
                    for (const Attempt& attempt : {Attempt(o), Attempt(o, {recipient_taken, recipient_refused})}) {
                        const Judgement judgement = attempt.judged();
                        if (const auto* completed = std::get_if<Completed>(&judgement.transition)) {
                            ASSERT_EQ(completed->end, Completed::End::failed);
                        }
                        ASSERT_THAT(judgement.recipients, testing::Not(testing::Contains(accepted)));
                    }
                }
}

} // namespace
} // namespace mailroom::rules
