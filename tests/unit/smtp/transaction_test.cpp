#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/transaction.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace mailroom::smtp {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;
using testing::StartsWith;

// ---- The plain course -----------------------------------------------------------------------------------------------

TEST(Transaction, GoesStepByStepWithoutPipelining)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    EXPECT_EQ(d.said(), "MAIL FROM:<anna@example.com>\r\n");
    EXPECT_EQ(d.hear({"250 ok"}).said(), "RCPT TO:<b@example.com>\r\n");
    EXPECT_EQ(d.hear({"250 ok"}).said(), "RCPT TO:<c@example.com>\r\n");
    EXPECT_EQ(d.hear({"251 ok"}).said(), "DATA\r\n");
    EXPECT_TRUE(d.hear({"354 go"}).wants_content());
    EXPECT_TRUE(d.write_content().waits());
    d.hear({"250 2.0.0 queued as 42"});
    EXPECT_EQ(d.outcome().verdict, Verdict::accepted);
    EXPECT_EQ(d.outcome().code, 250);
    EXPECT_EQ(d.outcome().text, "queued as 42");
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::accepted, Verdict::accepted));
    EXPECT_EQ(d.end().link, LinkState::clean);
}

TEST(Transaction, GoesInOneFlightWithPipelining)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}), pipelining());
    EXPECT_EQ(d.said(),
              "MAIL FROM:<anna@example.com>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n");
    EXPECT_TRUE(d.hear({"250 ok"}).waits());
    EXPECT_TRUE(d.hear({"250 ok"}).waits());
    EXPECT_TRUE(d.hear({"250 ok"}).waits());
    EXPECT_TRUE(d.hear({"354 go"}).wants_content());
}

TEST(Transaction, DoesNotPipelineWhereTheCallerForbidsIt)
{
    const Envelope to = envelope({"b@example.com"});
    const Capabilities server = pipelining();
    Transaction transaction(to, 1, server, Pipelining::never, Reset::not_needed);
    EXPECT_EQ(std::get<Transaction::Send>(transaction.begin()).octets, "MAIL FROM:<anna@example.com>\r\n");
}

TEST(Transaction, TellsTheSizeWhereTheServerTakesIt)
{
    Capabilities server;
    server.size = true;
    EXPECT_EQ(Dialogue(envelope({"b@example.com"}), server).said(), "MAIL FROM:<anna@example.com> SIZE=1000\r\n");
}

TEST(Transaction, ResetsFirstWhatTheOneBeforeLeft)
{
    Dialogue slow(envelope({"b@example.com"}), {}, 1, Reset::first);
    EXPECT_EQ(slow.said(), "RSET\r\n");
    EXPECT_EQ(slow.hear({"250 ok"}).said(), "MAIL FROM:<anna@example.com>\r\n");
    Dialogue quick(envelope({"b@example.com"}), pipelining(), 1, Reset::first);
    EXPECT_EQ(quick.said(), "RSET\r\nMAIL FROM:<anna@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n");
    EXPECT_TRUE(quick.hear({"250 ok", "250 ok", "250 ok", "354 go"}).wants_content());
}

TEST(Transaction, SendsManyRecipientsInFlightsOfFifty)
{
    std::vector<std::string> many;
    for (int i = 0; i < 120; ++i)
        many.push_back("r" + std::to_string(i) + "@example.com");
    Dialogue d(envelope(many), pipelining());
    const auto count = [&] {
        const std::string said = d.said();
        std::size_t recipients = 0;
        for (std::size_t at = said.find("RCPT"); at != std::string::npos; at = said.find("RCPT", at + 1))
            ++recipients;
        return recipients;
    };
    EXPECT_EQ(count(), 50U);
    EXPECT_THAT(d.said(), StartsWith("MAIL FROM"));
    d.hear({"250 ok"});
    for (int i = 0; i < 50; ++i)
        d.hear({"250 ok"});
    EXPECT_EQ(count(), 50U);
    for (int i = 0; i < 50; ++i)
        d.hear({"250 ok"});
    EXPECT_EQ(count(), 20U);
    EXPECT_THAT(d.said(), EndsWith("DATA\r\n"));
    for (int i = 0; i < 20; ++i)
        d.hear({"250 ok"});
    EXPECT_TRUE(d.hear({"354 go"}).wants_content());
}

TEST(Transaction, BoundsTheOctetsOfAFlight)
{
    std::vector<std::string> many;
    for (int i = 0; i < 49; ++i)
        many.push_back(std::string(60, 'a') + std::to_string(i) + "@" + std::string(60, 'b') + "." +
                       std::string(60, 'c'));
    Dialogue d(envelope(many), pipelining());
    EXPECT_GE(d.said().size(), Transaction::max_flight);
    EXPECT_LT(d.said().size(), Transaction::max_flight + 300);
}

// ---- What is refused before anything is said ------------------------------------------------------------------------

TEST(Transaction, GivesUpWhatIsTooLargeWithoutAWord)
{
    Capabilities server;
    server.size = true;
    server.max_size = 999;
    Dialogue d(envelope({"b@example.com"}), server);
    EXPECT_EQ(d.outcome().verdict, Verdict::give_up);
    EXPECT_EQ(d.outcome().cause, Cause::too_large);
    EXPECT_EQ(d.outcome().scope, Scope::message);
    EXPECT_EQ(d.outcome().text, "the message has 1000 octets, the server takes at most 999");
    EXPECT_THAT(d.recipients(), IsEmpty());
    EXPECT_EQ(d.end().link, LinkState::clean);
    server.max_size = 1000;
    EXPECT_FALSE(Dialogue(envelope({"b@example.com"}), server).is_finished());
}

TEST(Transaction, KeepsTheNeedForAResetWhenItSaysNothing)
{
    Capabilities server;
    server.max_size = 1;
    EXPECT_EQ(Dialogue(envelope({"b@example.com"}), server, 1000, Reset::first).end().link, LinkState::needs_reset);
}

TEST(Transaction, FailsOnlyTheRecipientThatNeedsSmtputf8)
{
    Dialogue d(envelope({"j\xC3\xBCrgen@example.com", "b@m\xC3\xBCller.example", "m\xC3\xBCller@example.com"}));
    d.hear({"250 ok"});
    EXPECT_EQ(d.said(), "RCPT TO:<b@xn--mller-kva.example>\r\n"); // a domain always has a form in US-ASCII
    EXPECT_EQ(d.hear({"250 ok"}).said(), "DATA\r\n");
    d.hear({"354 go"}).write_content().hear({"250 ok"});
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up, Verdict::accepted, Verdict::give_up));
    EXPECT_EQ(d.recipients()[0].cause, Cause::needs_smtputf8);
    EXPECT_EQ(d.recipients()[0].scope, Scope::recipient);
    EXPECT_EQ(d.outcome().verdict, Verdict::accepted);
}

TEST(Transaction, SaysNothingWhenAllRecipientsNeedSmtputf8)
{
    Dialogue d(envelope({"j\xC3\xBCrgen@example.com"}), pipelining());
    EXPECT_EQ(d.outcome().cause, Cause::needs_smtputf8);
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up));
    EXPECT_EQ(d.end().link, LinkState::clean);
}

TEST(Transaction, FailsTheMessageWhenItsSenderNeedsSmtputf8)
{
    Dialogue d(envelope({"b@example.com"}, "j\xC3\xBCrgen@example.com"));
    EXPECT_EQ(d.outcome().verdict, Verdict::give_up);
    EXPECT_EQ(d.outcome().cause, Cause::needs_smtputf8);
    EXPECT_EQ(d.outcome().scope, Scope::message);
    EXPECT_THAT(d.recipients(), IsEmpty());
}

TEST(Transaction, UsesSmtputf8OnlyWhereAnAddressNeedsIt)
{
    Capabilities server;
    server.smtputf8 = true;
    EXPECT_EQ(Dialogue(envelope({"j\xC3\xBCrgen@example.com"}), server).said(),
              "MAIL FROM:<anna@example.com> SMTPUTF8\r\n");
    EXPECT_EQ(Dialogue(envelope({"b@example.com"}), server).said(), "MAIL FROM:<anna@example.com>\r\n");
}

TEST(Transaction, GivesUpAnEnvelopeWithoutRecipients)
{
    EXPECT_EQ(Dialogue(envelope({})).outcome().verdict, Verdict::give_up);
}

// ---- Refusals -------------------------------------------------------------------------------------------------------

TEST(Transaction, EndsWhenTheSenderIsRefused)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"451 4.3.0 later"});
    EXPECT_EQ(d.outcome().verdict, Verdict::try_again);
    EXPECT_EQ(d.outcome().stage, Stage::mail_from);
    EXPECT_THAT(d.recipients(), IsEmpty());
    EXPECT_EQ(d.end().link, LinkState::needs_reset);
}

TEST(Transaction, HearsAllOfAFlightAfterTheSenderWasRefused)
{
    Dialogue d(envelope({"b@example.com"}), pipelining());
    EXPECT_TRUE(d.hear({"550 5.1.0 no"}).waits());
    EXPECT_TRUE(d.hear({"503 5.5.1 need MAIL"}).waits());
    d.hear({"503 5.5.1 need RCPT"});
    EXPECT_EQ(d.outcome().verdict, Verdict::give_up);
    EXPECT_EQ(d.outcome().stage, Stage::mail_from);
    EXPECT_EQ(d.outcome().scope, Scope::message);
    EXPECT_THAT(d.recipients(), IsEmpty());
    EXPECT_EQ(d.end().link, LinkState::needs_reset);
}

TEST(Transaction, GoesOnWithThoseWhoWereAccepted)
{
    Dialogue d(envelope({"b@example.com", "c@example.com", "d@example.com"}), pipelining());
    d.hear({"250 ok", "550 5.1.1 unknown", "250 ok", "450 4.2.0 greylisted", "354 go"}).write_content();
    d.hear({"250 ok"});
    EXPECT_EQ(d.outcome().verdict, Verdict::accepted);
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up, Verdict::accepted, Verdict::try_again));
    EXPECT_EQ(d.recipients()[0].stage, Stage::rcpt_to);
    EXPECT_EQ(d.end().link, LinkState::clean);
}

TEST(Transaction, DoesNotStartTheContentWhenNobodyWasAccepted)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    d.hear({"250 ok", "550 5.1.1 unknown", "450 4.2.0 later"});
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up, Verdict::try_again));
    EXPECT_EQ(d.outcome().verdict, Verdict::try_again) << "one may work later";
    EXPECT_EQ(d.end().link, LinkState::needs_reset);
}

TEST(Transaction, SendsALoneDotWhenTheServerWantsContentForNobody)
{
    Dialogue d(envelope({"b@example.com"}), pipelining());
    EXPECT_EQ(d.hear({"250 ok", "550 5.1.1 unknown", "354 go"}).said(), ".\r\n");
    d.hear({"250 ok, queued"});
    EXPECT_EQ(d.outcome().verdict, Verdict::give_up) << "an empty mail to nobody is no acceptance";
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up));
    EXPECT_EQ(d.end().link, LinkState::needs_reset);
}

TEST(Transaction, SendsNoLoneDotWhileTheServerHasARecipientThatWeGaveUp)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}), pipelining());
    d.hear(
        {"250 ok", "250 ok", "553 5.7.1 <anna@example.com>: Sender address rejected: not owned by user bob", "354 go"});
    EXPECT_EQ(d.outcome().cause, Cause::sender_refused);
    EXPECT_EQ(d.end().link, LinkState::unusable) << "an empty mail would go to b";
}

TEST(Transaction, TakesASenderRefusedAtRcptForTheWholeMessage)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    d.hear({"250 ok", "553 5.7.1 <anna@example.com>: Sender address rejected: not owned by user bob"});
    EXPECT_EQ(d.outcome().scope, Scope::sender_identity);
    EXPECT_EQ(d.outcome().cause, Cause::sender_refused);
    EXPECT_EQ(d.outcome().stage, Stage::rcpt_to);
    EXPECT_THAT(d.recipients(), IsEmpty());
    EXPECT_EQ(d.end().link, LinkState::needs_reset);
}

TEST(Transaction, TellsTroubleOfTheAccountWhenNobodyWasAccepted)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    d.hear({"250 ok", "550 5.1.1 unknown", "450 4.7.1 Error: too many messages from you"});
    EXPECT_EQ(d.outcome().scope, Scope::account);
    EXPECT_EQ(d.outcome().cause, Cause::throttled);
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up, Verdict::try_again));
}

TEST(Transaction, Takes452AfterAnAcceptedRecipientForTooMany)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    d.hear({"250 ok", "250 ok", "452 enough"}).hear({"354 go"}).write_content().hear({"250 ok"});
    EXPECT_EQ(d.recipients()[1].cause, Cause::too_many_recipients);
    EXPECT_EQ(d.recipients()[1].verdict, Verdict::try_again);
    Dialogue first(envelope({"b@example.com"}));
    first.hear({"250 ok", "452 enough"});
    EXPECT_EQ(first.recipients()[0].cause, Cause::reply);
}

TEST(Transaction, GivesTheRefusalOfDataToThoseWhoWereAccepted)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    d.hear({"250 ok", "550 5.1.1 unknown", "250 ok", "451 4.3.0 later"});
    EXPECT_EQ(d.outcome().stage, Stage::data);
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up, Verdict::try_again));
    EXPECT_EQ(d.end().link, LinkState::needs_reset);
}

TEST(Transaction, TakesTheRefusalAfterTheDotAsItIs)
{
    Dialogue later(envelope({"b@example.com"}));
    later.hear({"250 ok", "250 ok", "354 go"}).write_content().hear({"451 4.3.0 later"});
    EXPECT_EQ(later.outcome().verdict, Verdict::try_again);
    EXPECT_EQ(later.end().link, LinkState::needs_reset);
    Dialogue never(envelope({"b@example.com"}));
    never.hear({"250 ok", "250 ok", "354 go"}).write_content().hear({"554 5.7.1 spam"});
    EXPECT_EQ(never.outcome().verdict, Verdict::give_up);
    EXPECT_THAT(never.verdicts(), ElementsAre(Verdict::give_up));
}

TEST(Transaction, TakesAReplyOutOfPlaceForAProtocolError)
{
    Dialogue mail(envelope({"b@example.com"}));
    mail.hear({"354 go"});
    EXPECT_EQ(mail.outcome().cause, Cause::protocol_error);
    EXPECT_EQ(mail.end().link, LinkState::unusable);
    Dialogue rcpt(envelope({"b@example.com"}));
    rcpt.hear({"250 ok", "354 go"});
    EXPECT_EQ(rcpt.outcome().cause, Cause::protocol_error);
    EXPECT_EQ(rcpt.end().link, LinkState::unusable);
    Dialogue data(envelope({"b@example.com"}));
    data.hear({"250 ok", "250 ok", "250 ok"});
    EXPECT_EQ(data.outcome().cause, Cause::protocol_error);
    EXPECT_EQ(data.outcome().scope, Scope::server);
    EXPECT_EQ(data.end().link, LinkState::unusable);
    Dialogue reset(envelope({"b@example.com"}), {}, 1, Reset::first);
    reset.hear({"500 what?"});
    EXPECT_EQ(reset.outcome().scope, Scope::server);
    EXPECT_EQ(reset.end().link, LinkState::unusable);
}

// ---- Around the dot -------------------------------------------------------------------------------------------------

TEST(Transaction, LosingTheLinkAfterTheDotLeavesTheMessageInDoubt)
{
    Dialogue d(envelope({"b@example.com", "c@example.com"}));
    d.hear({"250 ok", "550 5.1.1 unknown", "250 ok", "354 go"}).write_content().lose();
    EXPECT_EQ(d.outcome().verdict, Verdict::in_doubt);
    EXPECT_EQ(d.outcome().stage, Stage::final_dot);
    EXPECT_EQ(d.outcome().cause, Cause::connection_lost);
    EXPECT_THAT(d.verdicts(), ElementsAre(Verdict::give_up, Verdict::in_doubt));
    EXPECT_EQ(d.end().link, LinkState::unusable);
}

TEST(Transaction, IsInDoubtAsSoonAsTheDotMayBeOnItsWay)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"});
    d.transaction.on_committing();
    EXPECT_EQ(d.lose().outcome().verdict, Verdict::in_doubt);
    EXPECT_EQ(d.outcome().stage, Stage::content);
}

TEST(Transaction, IsNotInDoubtWhenTheDotWasCertainlyWithheld)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"});
    d.transaction.on_committing();
    d.transaction.on_withheld();
    EXPECT_EQ(d.lose().outcome().verdict, Verdict::try_again);
}

TEST(Transaction, AReplyThatIsNoVerdictLeavesADoubt)
{
    for (const std::string_view text : {"354 go on", "221 bye"}) {
        Dialogue d(envelope({"b@example.com"}));
        d.hear({"250 ok", "250 ok", "354 go"}).write_content().hear({text});
        EXPECT_EQ(d.outcome().verdict, Verdict::in_doubt) << text;
        EXPECT_EQ(d.outcome().cause, Cause::protocol_error) << text;
        EXPECT_EQ(d.end().link, LinkState::unusable) << text;
    }
}

TEST(Transaction, ACutAfterTheDotIsNoStop)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"}).write_content().lose({Cause::stopped, "stopped"});
    EXPECT_EQ(d.outcome().verdict, Verdict::in_doubt);
    EXPECT_NE(d.outcome().cause, Cause::stopped) << "which would promise that nothing was committed";
}

TEST(Transaction, AStopBeforeTheDotHandsTheMessageBack)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"}).lose({Cause::stopped, "stopped"});
    EXPECT_EQ(d.outcome().verdict, Verdict::try_again);
    EXPECT_EQ(d.outcome().cause, Cause::stopped);
    EXPECT_EQ(d.outcome().scope, Scope::dispatcher);
}

TEST(Transaction, AnEarlyRefusalOfTheContentIsAVerdict)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"}).hear({"552 5.3.4 too big"});
    EXPECT_EQ(d.outcome().cause, Cause::too_large);
    EXPECT_EQ(d.outcome().stage, Stage::content);
    EXPECT_EQ(d.end().link, LinkState::unusable);
}

TEST(Transaction, AnEarlyAcceptanceOfTheContentIsAProtocolError)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"}).hear({"250 ok"});
    EXPECT_EQ(d.outcome().verdict, Verdict::try_again);
    EXPECT_EQ(d.outcome().cause, Cause::protocol_error);
}

TEST(Transaction, A421AfterTheDotIsARefusalAndEndsTheLink)
{
    Dialogue d(envelope({"b@example.com"}));
    d.hear({"250 ok", "250 ok", "354 go"}).write_content().hear({"421 4.3.0 closing"});
    EXPECT_EQ(d.outcome().verdict, Verdict::try_again);
    EXPECT_EQ(d.outcome().scope, Scope::server);
    EXPECT_EQ(d.end().link, LinkState::unusable);
}

} // namespace
} // namespace mailroom::smtp
