// The limit of a message as a whole, its expiry, and what is told of where it stood. The limits of single steps are
// hours here: what ends, ends by these.
#include "tests/unit/smtp/session.hpp"
#include "transport/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

class Deadline : public Session {
protected:
    Deadline()
    {
        Timeouts& limits = options.timeouts;
        for (auto* limit : {&limits.mail_from, &limits.rcpt_to, &limits.data, &limits.content, &limits.final_dot,
                            &limits.behind_the_dot})
            *limit = 1h;
    }

    void wait_until(std::chrono::steady_clock::time_point end)
    {
        while (std::chrono::steady_clock::now() < end) {
            io.restart();
            io.run_one_until(end);
        }
        settle();
    }
};

const Script stops_reading{Expect{"MAIL"},   Expect{"RCPT"}, Expect{"DATA"}, Say{"250 ok\r\n250 ok\r\n354 go\r\n"},
                           ReadOctets{1000}, Stall{}};
const std::string offers_pipelining = "250 PIPELINING";

TEST_F(Deadline, EndsAContentThatNeverComesToItsDotAndSaysHowMuchWent)
{
    options.timeouts.delivery = 200ms;
    start_peer({opened(offers_pipelining) + stops_reading});
    Pieces content({large_text()});
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
    EXPECT_GT(progress.sent, 0);
    EXPECT_LT(progress.sent, progress.size);
    EXPECT_THAT(delivery.outcome.text,
                MatchesRegex("too slow: [0-9]+\\.[0-9] of 33\\.6 MB of content sent in [0-9]+ ms "
                             "\\(the limit is \\[smtp\\] delivery\\)"));
    EXPECT_FALSE(connection->reusable());
}

TEST_F(Deadline, GivesALargeContentMoreTimeInProportion)
{
    Timeouts timeouts;
    timeouts.delivery = 30min;
    EXPECT_EQ(limit_of_delivery(0, timeouts), 30min);
    EXPECT_EQ(limit_of_delivery(Timeouts::delivery_octets, timeouts), 30min);
    EXPECT_EQ(limit_of_delivery(4 * Timeouts::delivery_octets, timeouts), 2h);
}

TEST_F(Deadline, EndsAListOfRecipientsThatIsAnsweredTooSlowlyAndSaysHowManyWere)
{
    options.timeouts.delivery = 200ms;
    to = envelope({"a@example.com", "b@example.com", "c@example.com"});
    start_peer({opened() + Script{Expect{"MAIL"}, Say{"250 ok\r\n"}, Expect{"RCPT"}, Say{"250 ok\r\n"}, Expect{"RCPT"},
                                  Say{"550 5.1.1 nobody\r\n"}, Expect{"RCPT"}, AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_EQ(delivery.outcome.stage, Stage::rcpt_to);
    EXPECT_THAT(delivery.outcome.text, StartsWith("too slow: 2 of 3 recipients answered in "));
}

TEST_F(Deadline, IsNotTakenForAServerThatCannotBearSeveralCommandsAtOnce)
{
    options.timeouts.delivery = 200ms;
    const Script answers_one{Expect{"MAIL"}, Say{"250 ok\r\n"}, AwaitEnd{}};
    start_peer({opened(offers_pipelining) + answers_one, opened(offers_pipelining) + answers_one});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_THAT(delivery.outcome.text, StartsWith("too slow: 0 of 1 recipients answered"));
    EXPECT_EQ(connection->broke_off(), BrokeOff::no);

    options.timeouts.delivery = 1h;
    options.timeouts.rcpt_to = 200ms;
    connection.reset();
    run(do_open_and_submit(content));
    EXPECT_EQ(connection->broke_off(), BrokeOff::pipelined) << "a single reply that does not come is";
}

TEST_F(Deadline, OfASingleStepSaysWhereItStoodAsWell)
{
    options.timeouts.content = 200ms;
    start_peer({opened(offers_pipelining) + stops_reading});
    Pieces content({large_text()});
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_THAT(delivery.outcome.text, HasSubstr(" of 33.6 MB of content sent in "));
    EXPECT_THAT(delivery.outcome.text, Not(HasSubstr("delivery")));
}

TEST_F(Deadline, DoesNotEndWhatWaitsForTheReplyToItsDot)
{
    options.timeouts.delivery = 200ms;
    bool read = false;
    start_peer({opened() + envelope_taken +
                Script{ReadContent{}, Then{[&] { read = true; }}, Stall{}, Say{"250 2.0.0 queued\r\n"}}});
    expires = std::chrono::steady_clock::now() + 1h;
    Pieces content = small_content();
    bool done = false;
    asio::co_spawn(io, do_open_and_submit(content), [&](std::exception_ptr) { done = true; });
    while (!read)
        step();
    EXPECT_EQ(progress.step, Progress::Step::final_reply);
    wait_until(std::chrono::steady_clock::now() + 2 * options.timeouts.delivery);
    EXPECT_FALSE(done);
    peer->release();
    while (!done)
        step();
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Deadline, AnExpiryAfterTheDotChangesNothing)
{
    bool read = false;
    start_peer({opened() + envelope_taken +
                Script{ReadContent{}, Then{[&] { read = true; }}, Stall{}, Say{"250 2.0.0 queued\r\n"}}});
    Pieces content = small_content();
    run(do_open());
    expires = std::chrono::steady_clock::now() + 500ms;
    bool done = false;
    asio::co_spawn(io, do_submit(content), [&](std::exception_ptr) { done = true; });
    while (!read)
        step();
    wait_until(expires);
    EXPECT_FALSE(done);
    peer->release();
    while (!done)
        step();
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Deadline, AMessageThatExpiresInItsContentDoesNotGetItsDot)
{
    start_peer({opened(offers_pipelining) + stops_reading});
    run(do_open());
    bool committed = false;
    before_commit = [&committed] { committed = true; };
    Pieces content({large_text()});
    expires = std::chrono::steady_clock::now() + 500ms;
    run(do_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::expired);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
    EXPECT_THAT(delivery.outcome.text, StartsWith("its time was over: "));
    EXPECT_FALSE(committed);
    EXPECT_FALSE(connection->reusable());
}

// Its next piece takes long: a database that does not answer.
class Late : public Pieces {
public:
    Late(std::vector<std::string> pieces, std::function<void()> before_the_last)
        : Pieces(std::move(pieces)), before_the_last_(std::move(before_the_last))
    {}
    asio::awaitable<std::string_view> next() override
    {
        auto piece = co_await Pieces::next();
        if (taken() == 2)
            before_the_last_();
        co_return piece;
    }

private:
    std::function<void()> before_the_last_;
};

TEST_F(Deadline, ALastPieceThatComesTooLateIsNotSent)
{
    start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
    run(do_open());
    bool committed = false;
    before_commit = [&committed] { committed = true; };
    expires = std::chrono::steady_clock::now() + 200ms;
    Late content({"Subject: hello\r\n\r\n", "Body\r\n"}, [this] {
        while (std::chrono::steady_clock::now() < expires) // the thread is busy: no timer can go off
            continue;
    });
    run(do_submit(content));
    EXPECT_EQ(delivery.outcome.cause, Cause::expired);
    EXPECT_FALSE(committed);
    finish_peer();
    EXPECT_THAT(peer->heard(), Not(HasSubstr("Body")));
}

TEST_F(Deadline, WhatHasExpiredIsNotBegunAndCostsNoSession)
{
    start_peer({opened() + Script{AwaitEnd{}}});
    run(do_open());
    expires = std::chrono::steady_clock::now();
    Pieces content = small_content();
    run(do_submit(content));
    EXPECT_EQ(delivery.outcome.cause, Cause::expired);
    EXPECT_EQ(delivery.outcome.stage, Stage::mail_from);
    EXPECT_TRUE(connection->reusable());
    connection.reset();
    finish_peer();
    EXPECT_THAT(peer->heard(), Not(HasSubstr("MAIL")));
}

TEST_F(Deadline, AConnectionThatIsGivenUpEndsItsDelivery)
{
    start_peer({opened(offers_pipelining) + stops_reading});
    run(do_open());
    Pieces content({large_text()});
    bool done = false;
    asio::co_spawn(io, do_submit(content), [&](std::exception_ptr) { done = true; });
    while (progress.sent == 0)
        step();
    connection->give_up();
    while (!done)
        step();
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_THAT(delivery.outcome.text, StartsWith("the delivery had not ended long after its limits"));
}

TEST(Progress, SaysWhereADeliveryStandsAndSinceWhen)
{
    Progress progress;
    const auto now = Progress::Clock::now();
    const auto at = [&](Progress::Step step, std::chrono::milliseconds ago) {
        progress.enter(step, now - ago, Progress::never);
        return describe(progress, now);
    };
    progress.recipients = 500;
    progress.answered = 120;
    progress.size = 24'610'000;
    progress.sent = 3'080'000;
    EXPECT_EQ(at(Progress::Step::content_read, 150ms), "reading the message from the database for 150 ms");
    EXPECT_EQ(at(Progress::Step::session, 5s), "waiting for another's first login for 5 s");
    EXPECT_EQ(at(Progress::Step::opening, 61s), "opening a connection for 61 s");
    EXPECT_EQ(at(Progress::Step::commands, 30min), "120 of 500 recipients answered in 30 min");
    EXPECT_EQ(at(Progress::Step::content, 1h), "3.1 of 24.6 MB of content sent in 60 min");
    EXPECT_EQ(at(Progress::Step::final_reply, 10min), "waiting for the reply to the final dot for 10 min");
    EXPECT_EQ(at(Progress::Step::outcome, 49h), "writing the outcome to the database for 2 days");
    progress.size = 1200;
    progress.sent = 300;
    EXPECT_EQ(at(Progress::Step::content, 2s), "300 of 1200 octets of content sent in 2 s");
}

} // namespace
} // namespace mailroom::smtp
