// Connections that wait for their next message, and those that are stopped.
#include "tests/unit/smtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST_F(Session, SeesThatAnIdleConnectionWasClosed)
{
    start_peer({opened()});
    run(do_open());
    finish_peer();
    EXPECT_FALSE(connection->is_alive());
    EXPECT_TRUE(connection->reusable()) << "nothing failed yet";
}

TEST_F(Session, SeesAFarewellOnAnIdleConnection)
{
    for (const Security security : {Security::none, Security::implicit_tls}) {
        const Certificate certificate = make_certificate("127.0.0.1");
        trust(certificate);
        server.security = security;
        const Script start = security == Security::none ? no_steps : Script{StartTls{}};
        bool said = false;
        start_peer({start + opened() +
                    Script{Expect{"MAIL"}, Say{"250 ok\r\n"}, Expect{"RCPT"}, Say{"550 no\r\n"}, Stall{},
                           Say{"421 4.4.2 idle too long\r\n"}, Then{[&] { said = true; }}, AwaitEnd{}}},
                   certificate);
        Pieces content = small_content();
        run(do_open_and_submit(content));
        EXPECT_TRUE(connection->is_alive());
        peer->release();
        while (!said)
            step();
        EXPECT_FALSE(connection->is_alive());
    }
}

TEST_F(Session, SeesAFarewellThatCameWithTheLastReply)
{
    for (const Security security : {Security::none, Security::implicit_tls}) {
        const Certificate certificate = make_certificate("127.0.0.1");
        trust(certificate);
        server.security = security;
        const Script start = security == Security::none ? no_steps : Script{StartTls{}};
        start_peer({start + opened() + envelope_taken +
                    Script{ReadContent{}, Say{"250 ok\r\n421 4.7.0 enough\r\n"}, AwaitEnd{}}},
                   certificate);
        Pieces content = small_content();
        run(do_open_and_submit(content));
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted) << "the farewell takes nothing back";
        EXPECT_FALSE(connection->is_alive());
    }
}

TEST_F(Session, TellsThatAReusedConnectionWasDead)
{
    start_peer({opened() + envelope_taken + content_taken});
    Pieces first = small_content();
    Pieces second = small_content();
    run(do_open_and_submit(first));
    finish_peer();
    run(do_submit(second));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::connection_lost);
    EXPECT_EQ(delivery.outcome.stage, Stage::mail_from);
    EXPECT_TRUE(delivery.reused_connection);
    EXPECT_FALSE(connection->reusable());
}

TEST_F(Session, HearsWhyTheServerClosedAnIdleConnection)
{
    start_peer({opened() + envelope_taken + content_taken + Script{Say{"421 4.4.2 idle too long\r\n"}}});
    Pieces first = small_content();
    Pieces second = small_content();
    run(do_open_and_submit(first));
    finish_peer();
    run(do_submit(second));
    EXPECT_EQ(delivery.outcome.code, 421);
    EXPECT_EQ(delivery.outcome.scope, Scope::server);
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
}

TEST_F(Session, DoesNotWaitLongForAFarewell)
{
    options.timeouts.quit = 5ms;
    start_peer({opened() + Script{Expect{"QUIT"}, AwaitEnd{}}});
    run(do_open());
    run(close(std::move(connection)));
}

class Stopping : public Session {
protected:
    Then stop()
    {
        return Then{[this] { connection->stop(); }};
    }
    Then abort()
    {
        return Then{[this] { connection->abort(); }};
    }
};

TEST_F(Stopping, CutsTheLinkBeforeTheContent)
{
    start_peer({opened() + Script{Expect{"MAIL"}, stop(), AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::stopped);
    EXPECT_EQ(delivery.outcome.scope, Scope::dispatcher);
    EXPECT_FALSE(connection->reusable());
}

TEST_F(Stopping, CutsTheLinkWithinTheContent)
{
    start_peer({opened() + envelope_taken + Script{ReadOctets{1000}, stop(), AwaitEnd{}}});
    Pieces content({large_text()});
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::stopped);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
    EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
}

TEST_F(Stopping, AwaitsTheAnswerAfterTheDot)
{
    start_peer({opened() + envelope_taken + Script{ReadContent{}, stop(), Say{"250 ok\r\n"}} + quit_taken});
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Stopping, ByAbortBeforeTheDotHandsTheMessageBack)
{
    start_peer({opened() + Script{Expect{"MAIL"}, abort(), AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::stopped);
}

TEST_F(Stopping, ByAbortAfterTheDotLeavesADoubt)
{
    start_peer({opened() + envelope_taken + Script{ReadContent{}, abort(), AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::in_doubt);
    EXPECT_NE(delivery.outcome.cause, Cause::stopped);
}

TEST_F(Stopping, BeforeTheFirstCommandHandsTheMessageBack)
{
    start_peer({opened() + Script{AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open());
    connection->stop();
    run(do_submit(content));
    EXPECT_EQ(delivery.outcome.cause, Cause::stopped);
    EXPECT_EQ(peer->heard(), "EHLO erp.example.com\r\n");
}

} // namespace
} // namespace mailroom::smtp
