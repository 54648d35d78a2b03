// TLS sessions that are resumed, and those that must not be; and that closing waits for no farewell of TLS.
#include "tests/unit/smtp/session.hpp"

#include <boost/asio/ssl/context.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace mailroom::smtp {
namespace {

class Resumption : public Session {
protected:
    void start(std::size_t connections, NewestTls newest = NewestTls::any)
    {
        start(std::vector<Script>(connections, in_order), newest);
    }

    void start(std::vector<Script> scripts, NewestTls newest = NewestTls::any)
    {
        trust(certificate);
        server.security = Security::implicit_tls;
        start_peer(std::move(scripts), certificate, newest);
    }

    // Of TLS 1.2 a session is used again and again, of 1.3 once.
    void speak_at_most(int version) { SSL_CTX_set_max_proto_version(tls->native().native_handle(), version); }

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

    const Script in_order = Script{StartTls{}} + opened() + quit_taken + Script{AwaitEnd{}};
    const Script breaks_off = {ReadOctets{1}}; // at the ClientHello
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

TEST_F(Resumption, AHandshakeThatBreaksOffOverAnOldSessionIsDoneAgainInFull)
{
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        start({in_order, breaks_off, in_order});
        speak_at_most(version);
        EXPECT_FALSE(open_and_close());
        run(do_open());
        EXPECT_EQ(peer->connections(), 3U);
        ASSERT_TRUE(connection);
        EXPECT_FALSE(connection->resumed_tls());
        run(close(std::move(connection)));
    }
}

TEST_F(Resumption, AFullHandshakeThatBreaksOffAsWellIsNotDoneAgain)
{
    start({in_order, breaks_off, breaks_off, in_order});
    EXPECT_FALSE(open_and_close());
    expect_refusal(Cause::tls_failed, Stage::tls);
    EXPECT_EQ(peer->connections(), 3U);
}

TEST_F(Resumption, AHandshakeThatBreaksOffWithoutASessionIsNotDoneAgain)
{
    start({breaks_off, in_order});
    expect_refusal(Cause::tls_failed, Stage::tls);
    EXPECT_EQ(peer->connections(), 1U);
}

TEST_F(Resumption, AHandshakeWithoutAnswerIsNotDoneAgainAtOnceButTheNextIsAFullOne)
{
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        start({in_order, Script{AwaitEnd{}}, in_order, in_order});
        speak_at_most(version);
        EXPECT_FALSE(open_and_close());
        options.timeouts.tls = std::chrono::milliseconds(5);
        expect_refusal(Cause::timed_out, Stage::tls);
        EXPECT_EQ(peer->connections(), 2U);
        options.timeouts.tls = Timeouts().tls;
        EXPECT_FALSE(open_and_close());
        EXPECT_TRUE(open_and_close());
    }
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
