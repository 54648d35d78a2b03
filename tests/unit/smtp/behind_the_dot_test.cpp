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

TEST_F(BehindTheDot, TheRepliesToWhatWasBegunAreNotTakenForThoseToAnotherMessage)
{
    for (const std::string replies : {"550 5.1.0 no\r\n503 no\r\n503 no\r\n", "250 ok\r\n250 ok\r\n354 go\r\n"}) {
        first = Pieces({"Subject: first\r\n"});
        to = envelope({"b@example.com"});
        submit_first({Script{ReadContent{}} + next_begun + Script{Say{"250 first\r\n" + replies}, AwaitEnd{}}});
        to = envelope({"other@example.com"});
        following = nullptr;
        run(do_submit(second));
        expect_never_sent();
        EXPECT_EQ(delivery.outcome.stage, Stage::mail_from);
        EXPECT_EQ(delivery.outcome.cause, Cause::connection_lost);
    }
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

TEST_F(BehindTheDot, AnAnswerThatCameWithThePermissionToSendUndoesWhatWasBegun)
{
    start_peer(
        {opened("250 PIPELINING") + Script{Expect{"MAIL"}, Expect{"RCPT"}, Expect{"DATA"},
                                           Say{"250 ok\r\n250 ok\r\n354 go\r\n451 4.3.0 no, wait\r\n"}, AwaitEnd{}}});
    following = [this] { return std::optional<Following>({next, second.size()}); };
    run(do_open_and_submit(first));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.code, 451);
    EXPECT_FALSE(connection->has_begun());
    submit_second();
    expect_never_sent();
    EXPECT_THAT(peer->heard(), Not(HasSubstr("next@")));
}

TEST_F(BehindTheDot, NothingIsBegunBehindAContentThatIsRefusedOnItsWay)
{
    bool asked = false;
    start_peer({opened("250 PIPELINING") + envelope_taken_at_once +
                Script{ReadOctets{1000}, Say{"421 4.3.2 closing\r\n"}, Stall{}}});
    following = [&]() -> std::optional<Following> {
        asked = true;
        return Following{next, second.size()};
    };
    Pieces large({large_text()});
    run(do_open_and_submit(large));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
    EXPECT_FALSE(asked);
    submit_second();
    expect_never_sent();
}

// ---- More recipients than go out before their replies are read
// -------------------------------------------------------

class ManyBehindTheDot : public BehindTheDot {
protected:
    static constexpr std::size_t recipients = 120;

    void address_to(const std::string& local_part, const std::string& domain)
    {
        next.recipients.clear();
        for (std::size_t i = 0; i < recipients; ++i)
            next.recipients.push_back(address(local_part + std::to_string(1000 + i) + "@" + domain));
    }

    void submit_both()
    {
        bool in_content = false;
        const auto answer = [&in_content](const std::string& line) -> std::vector<Answer> {
            if (in_content)
                in_content = line != ".";
            else if (line == "DATA")
                in_content = true;
            else
                return {Say{"250 ok\r\n"}};
            if (in_content)
                return line == "DATA" ? std::vector<Answer>{Say{"354 go\r\n"}} : std::vector<Answer>{};
            return {Say{"250 queued\r\n"}};
        };
        submit_first({Script{ReadContent{}, Then{[this] { behind = heard_since("Body\r\n.\r\n"); }},
                             Say{"250 first\r\n"}, Converse{answer}}});
        submit_second();
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
        std::string envelope_heard = "MAIL FROM:<anna@example.com>\r\n";
        for (const MailAddress& recipient : next.recipients)
            envelope_heard += "RCPT TO:<" + recipient.str() + ">\r\n";
        EXPECT_THAT(peer->heard(),
                    HasSubstr("first\r\n\r\nBody\r\n.\r\n" + envelope_heard + "DATA\r\nSubject: second"));
        connection.reset();
        finish_peer();
    }

    std::string heard_since(const std::string& mark) const
    {
        return peer->heard().substr(peer->heard().find(mark) + mark.size());
    }

    std::string behind; // the first message's dot, when its reply was due
};

TEST_F(ManyBehindTheDot, GoOutInFlightsOfFifty)
{
    address_to("r", "example.com");
    submit_both();
    EXPECT_THAT(behind, testing::EndsWith("RCPT TO:<r1049@example.com>\r\n"));
}

TEST_F(ManyBehindTheDot, GoOutInFlightsOfFourKilobytes)
{
    const std::string label(60, 'd');
    address_to("r", label + "." + label + "." + label + ".example.com");
    submit_both();
    EXPECT_GE(behind.size(), Transaction::max_flight);
    EXPECT_LE(behind.size(), Transaction::max_flight + 512) << "and a command line (RFC 5321 section 4.5.3.1.4)";
}

// ---- Writes that break off
// -------------------------------------------------------------------------------------------

// The peer reads nothing, so that the last write, of content, dot and what goes behind it, is caught somewhere.
class BrokenBehindTheDot : public BehindTheDot {
protected:
    enum class Broken { in_the_content, before_the_dot, behind_the_dot, nowhere };

    Broken write(std::size_t size)
    {
        std::string text(size, 'x');
        for (std::size_t end = 998; end < text.size(); end += 1000)
            text.replace(end, 2, "\r\n");
        first = Pieces({std::move(text)});
        bool stalled = false;
        bool done = false;
        start_peer({opened("250 PIPELINING") + envelope_taken_at_once +
                    Script{Then{[&] { stalled = true; }}, Stall{}, Break{}}});
        bool asked = false;
        following = [&] {
            asked = true;
            return std::optional<Following>({next, second.size()});
        };
        to = envelope({"b@example.com"});
        asio::co_spawn(io, do_open_and_submit(first), [&](const std::exception_ptr&) { done = true; });
        while (!stalled)
            step();
        settle();
        peer->release();
        while (!done)
            step();
        EXPECT_EQ(delivery.outcome.cause, Cause::connection_lost);
        if (delivery.outcome.stage == Stage::final_dot)
            return Broken::nowhere;
        if (!asked)
            return Broken::in_the_content;
        return delivery.outcome.verdict == Verdict::in_doubt ? Broken::behind_the_dot : Broken::before_the_dot;
    }

    // How much the buffers hold is the system's affair.
    bool write_and_break(Broken wanted)
    {
        const std::string label(60, 'd');
        next.recipients.clear();
        for (int i = 0; i < 30; ++i) // more octets than a page
            next.recipients.push_back(
                address("n" + std::to_string(i) + "@" + label + "." + label + "." + label + ".example.com"));
        for (int attempt = 0; attempt < 5; ++attempt) {
            std::size_t fits = 0;
            std::size_t too_large = 32U * 1024 * 1024;
            while (too_large - fits > 500) {
                const std::size_t size = fits + (too_large - fits) / 2;
                const Broken broken = write(size);
                if (broken == wanted)
                    return true;
                (broken == Broken::nowhere ? fits : too_large) = size;
            }
        }
        return false;
    }
};

TEST_F(BrokenBehindTheDot, TheFirstIsInDoubtWhereItsDotMayHaveLeftAndTheNextIsUntried)
{
    ASSERT_TRUE(write_and_break(Broken::behind_the_dot));
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
    EXPECT_FALSE(connection->has_begun());
    submit_second();
    expect_never_sent();
}

TEST_F(BrokenBehindTheDot, BothAreUntriedWhereTheDotCannotHaveLeft)
{
    ASSERT_TRUE(write_and_break(Broken::before_the_dot));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_FALSE(connection->has_begun());
    submit_second();
    expect_never_sent();
}

} // namespace
} // namespace mailroom::smtp
