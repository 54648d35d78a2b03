// The next message's commands behind the final dot: what becomes of either when the other fails.
#include "tests/unit/smtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

const Script next_begun = {Expect{"MAIL FROM:<anna@example.com>"}, Expect{"RCPT TO:<next@example.com>"},
                           Expect{"DATA"}};
const std::string next_taken = "250 ok\r\n250 ok\r\n354 go\r\n";

class BehindTheDot : public Session {
protected:
    // Opens, and submits a first message to b@, with the one to next@ behind it.
    void submit_first(std::vector<Script> scripts)
    {
        scripts[0] = opened("250 PIPELINING") + envelope_taken_at_once + scripts[0];
        start_peer(std::move(scripts));
        following = [this] { return std::optional<Following>({next, second.size()}); };
        run(do_open_and_submit(first));
        first_delivery = delivery;
    }

    void submit_second()
    {
        following = nullptr;
        to = next;
        run(do_submit(second));
    }

    void expect_never_sent()
    {
        EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
        EXPECT_THAT(peer->heard(), Not(HasSubstr("second")));
    }

    Pieces first = Pieces({"Subject: first\r\n\r\nBody\r\n"});
    Pieces second = Pieces({"Subject: second\r\n\r\nBody\r\n"});
    Envelope next = envelope({"next@example.com"});
    Delivery first_delivery;
};

TEST_F(BehindTheDot, TwoMessagesTakeTwoFlightsAndEachHasItsOwnContent)
{
    submit_first({Script{ReadContent{}} + next_begun + Script{Say{"250 first\r\n" + next_taken}} + content_taken});
    EXPECT_EQ(first_delivery.outcome.text, "first");
    EXPECT_TRUE(connection->has_begun());
    EXPECT_FALSE(connection->reusable()) << "for any other message";
    submit_second();
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    EXPECT_EQ(delivery.outcome.text, "queued");
    EXPECT_TRUE(delivery.reused_connection);
    EXPECT_TRUE(connection->reusable());
    EXPECT_THAT(peer->heard(),
                HasSubstr("first\r\n\r\nBody\r\n.\r\nMAIL FROM:<anna@example.com>\r\nRCPT TO:<next@example.com>\r\n"
                          "DATA\r\nSubject: second"));
}

TEST_F(BehindTheDot, ARefusalAtTheDotLeavesTheNextMessageAlone)
{
    for (const std::string refusal : {"450 4.0.0 later", "554 5.0.0 never"}) {
        first = Pieces({"Subject: first\r\n"});
        second = Pieces({"Subject: second\r\n"});
        submit_first({Script{ReadContent{}} + next_begun + Script{Say{refusal + "\r\n" + next_taken}} + content_taken});
        EXPECT_NE(first_delivery.outcome.verdict, Verdict::accepted);
        EXPECT_NE(first_delivery.outcome.verdict, Verdict::in_doubt);
        submit_second();
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
        to = envelope({"b@example.com"});
    }
}

TEST_F(BehindTheDot, LosingTheLinkLeavesTheFirstInDoubtAndTheNextUntried)
{
    submit_first({Script{ReadContent{}} + next_begun});
    EXPECT_EQ(first_delivery.outcome.verdict, Verdict::in_doubt);
    EXPECT_FALSE(connection->has_begun());
    submit_second();
    expect_never_sent();
}

TEST_F(BehindTheDot, A421AtTheDotEndsBoth)
{
    submit_first({Script{ReadContent{}} + next_begun + Script{Say{"421 4.3.2 closing\r\n"}, AwaitEnd{}}});
    EXPECT_EQ(first_delivery.outcome.verdict, Verdict::try_again);
    EXPECT_FALSE(connection->has_begun());
    submit_second();
    expect_never_sent();
}

TEST_F(BehindTheDot, AServerThatHangsUpAfterEachMessageTookTheFirst)
{
    for (const std::string farewell : {"", "421 4.7.0 one message each\r\n"}) {
        first = Pieces({"Subject: first\r\n"});
        submit_first({Script{ReadContent{}} + next_begun + Script{Say{"250 first\r\n" + farewell}}});
        EXPECT_EQ(first_delivery.outcome.verdict, Verdict::accepted);
        submit_second();
        expect_never_sent();
        EXPECT_EQ(delivery.outcome.stage, Stage::mail_from);
        EXPECT_TRUE(delivery.reused_connection);
        EXPECT_FALSE(connection->reusable());
        to = envelope({"b@example.com"});
    }
}

TEST_F(BehindTheDot, AServerThatThrowsAwayWhatCameBehindTheDotIsNotAwaitedForLong)
{
    options.timeouts.behind_the_dot = 1ms;
    submit_first({Script{ReadContent{}} + next_begun + Script{Say{"250 first\r\n"}, AwaitEnd{}}});
    EXPECT_EQ(first_delivery.outcome.verdict, Verdict::accepted);
    submit_second();
    expect_never_sent();
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_EQ(connection->broke_off(), BrokeOff::pipelined);
}

TEST_F(BehindTheDot, TheLimitForWhatCameBehindTheDotIsNotThatOfTheFinalReply)
{
    options.timeouts.behind_the_dot = 1ms;
    options.timeouts.final_dot = 1h;
    submit_first({Script{ReadContent{}} + next_begun +
                  Script{Say{"250 first\r\n" + next_taken}, ReadContent{}, Stall{}, Say{"250 ok\r\n"}, AwaitEnd{}}});
    following = nullptr;
    to = next;
    bool done = false;
    asio::co_spawn(io, do_submit(second), [&](const std::exception_ptr&) { done = true; });
    while (peer->heard().find("second\r\n\r\nBody\r\n.\r\n") == std::string::npos)
        step();
    settle();
    peer->release();
    while (!done)
        step();
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(BehindTheDot, ReplyOutOfStepToTheNextMessageSendsNoContent)
{
    for (const std::string replies : {"354 go\r\n", "250 ok\r\n354 go\r\n", "250 ok\r\n250 ok\r\n250 ok\r\n",
                                      "503 5.5.1 sequence\r\n503 5.5.1 sequence\r\n503 5.5.1 sequence\r\n",
                                      "500 what?\r\n500 what?\r\n500 what?\r\n"}) {
        first = Pieces({"Subject: first\r\n"});
        submit_first({Script{ReadContent{}} + next_begun + Script{Say{"250 first\r\n" + replies}}});
        submit_second();
        EXPECT_NE(delivery.outcome.verdict, Verdict::accepted) << replies;
        EXPECT_NE(delivery.outcome.verdict, Verdict::in_doubt) << replies;
        EXPECT_THAT(peer->heard(), Not(HasSubstr("second")));
        EXPECT_EQ(connection->broke_off(), BrokeOff::pipelined) << replies;
        to = envelope({"b@example.com"});
    }
}

TEST_F(BehindTheDot, AnAnswerToTheNextMessageBeforeTheFirstsLeavesThatInDoubt)
{
    submit_first({Script{ReadContent{}} + next_begun + Script{Say{"354 go\r\n"}, AwaitEnd{}}});
    EXPECT_EQ(first_delivery.outcome.verdict, Verdict::in_doubt);
    submit_second();
    expect_never_sent();
}

TEST_F(BehindTheDot, AnotherMessageNeverGoesOnWithWhatWasBegun)
{
    const Script begun = Script{ReadContent{}} + next_begun + Script{Say{"250 first\r\n" + next_taken}, AwaitEnd{}};
    submit_first({begun});
    to = envelope({"other@example.com"});
    following = nullptr;
    run(do_submit(second));
    expect_never_sent();

    to = envelope({"b@example.com"});
    first = Pieces({"Subject: first\r\n"});
    submit_first({begun});
    to = next;
    following = nullptr;
    Pieces longer({"Subject: second, of another size\r\n"});
    run(do_submit(longer));
    expect_never_sent();
}

TEST_F(BehindTheDot, WhatTheServerWouldRefuseIsNotBegun)
{
    next = envelope({"b\xC3\xBC@example.com"});
    submit_first({content_taken + quit_taken});
    EXPECT_FALSE(connection->has_begun());
    EXPECT_TRUE(connection->reusable());
    run(close(std::move(connection)));
    EXPECT_EQ(first_delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(BehindTheDot, NothingIsAskedForWhereOneMessageIsTheLimitOrNoPipeliningIsOffered)
{
    for (const Pipelining limit : {Pipelining::message, Pipelining::never}) {
        options.pipelining = limit;
        start_peer({opened("250 PIPELINING") + (limit == Pipelining::never ? envelope_taken : envelope_taken_at_once) +
                    content_taken});
        bool asked = false;
        following = [&]() -> std::optional<Following> {
            asked = true;
            return {};
        };
        Pieces content = small_content();
        run(do_open_and_submit(content));
        EXPECT_FALSE(asked);
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    }
}

TEST_F(BehindTheDot, AJournalThatFailsUndoesBoth)
{
    before_commit = [] { throw std::runtime_error("the disk is full"); };
    EXPECT_THROW(submit_first({Script{AwaitEnd{}}}), std::runtime_error);
    EXPECT_FALSE(connection->has_begun());
    EXPECT_THAT(peer->heard(), Not(HasSubstr("next@")));
}

} // namespace
} // namespace mailroom::smtp
