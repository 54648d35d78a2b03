// TLS sessions that are resumed, and those that must not be; and that closing waits for no farewell of TLS.
#include "tests/unit/smtp/session.hpp"

#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

class Resumption : public Session {
protected:
    void start(std::size_t connections, NewestTls newest = NewestTls::any)
    {
        trust(certificate);
        server.security = Security::implicit_tls;
        const Script script = Script{StartTls{}} + opened() + quit_taken + Script{AwaitEnd{}};
        start_peer(std::vector<Script>(connections, script), certificate, newest);
    }

    bool open_and_close()
    {
        run(do_open());
        const bool resumed = connection && connection->resumed_tls();
        if (connection)
            run(close(std::move(connection)));
        return resumed;
    }

    // The server sees only a connection that ends in its handshake.
    void expect_certificate_refused()
    {
        run(do_open());
        EXPECT_FALSE(connection);
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->cause, Cause::certificate) << refused->text;
    }

    Certificate certificate = make_certificate("127.0.0.1");
};

TEST_F(Resumption, TheSecondConnectionResumesTheSessionOfTheFirst)
{
    start(3);
    EXPECT_FALSE(open_and_close());
    EXPECT_TRUE(open_and_close());
    EXPECT_TRUE(open_and_close());
}

// Its tickets serve more than once.
TEST_F(Resumption, TheSessionOfTls12IsResumedAgainAndAgain)
{
    start(4, NewestTls::tls_1_2);
    EXPECT_FALSE(open_and_close());
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(open_and_close());
}

TEST_F(Resumption, ASessionOfTls12IsNotTakenForThatOfAnotherName)
{
    start(2, NewestTls::tls_1_2);
    EXPECT_FALSE(open_and_close());
    server.host = "localhost";
    expect_certificate_refused();
}

TEST_F(Resumption, AMessageGoesOverAResumedSession)
{
    for (const NewestTls newest : {NewestTls::any, NewestTls::tls_1_2}) {
        trust(certificate);
        server.security = Security::implicit_tls;
        const Script start = Script{StartTls{}} + opened("250 PIPELINING");
        start_peer(
            {start + quit_taken + Script{AwaitEnd{}}, start + envelope_taken_at_once + content_taken + quit_taken},
            certificate, newest);
        EXPECT_FALSE(open_and_close());
        Pieces content = small_content();
        run(do_open_and_submit(content));
        EXPECT_TRUE(connection->resumed_tls());
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
        run(close(std::move(connection)));
    }
}

TEST_F(Resumption, AnotherNameOfTheSameServerIsVerifiedAfresh)
{
    start(2);
    EXPECT_FALSE(open_and_close());
    server.host = "localhost";
    expect_certificate_refused();
}

TEST_F(Resumption, OtherAuthoritiesVerifyAfresh)
{
    start(2);
    EXPECT_FALSE(open_and_close());
    trust(make_certificate("127.0.0.1"));
    expect_certificate_refused();
}

// The peer never sends its close_notify: it answers QUIT and then only reads.
TEST_F(Resumption, ClosingWaitsForNoFarewellOfTls)
{
    options.timeouts.quit = std::chrono::hours(1);
    start(1);
    run(do_open());
    run(close(std::move(connection)));
    finish_peer();
}

} // namespace
} // namespace mailroom::smtp
