// Reaching a server, TLS, and servers that speak oddly.
#include "tests/unit/smtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST_F(Session, SaysThatNobodyListens)
{
    start_peer({});
    finish_peer(); // closes its port
    expect_refusal(Cause::connection_refused, Stage::connect);
    EXPECT_THAT(refused->text, HasSubstr("127.0.0.1 port " + std::to_string(peer->port())));
}

TEST_F(Session, SaysThatANameDoesNotExist)
{
    server.host = "mail.invalid"; // RFC 2606
    expect_refusal(Cause::name_not_found, Stage::resolve);
}

TEST_F(Session, LooksUpNoNameThatIsNone)
{
    using namespace std::string_literals;
    for (const std::string& host : {""s, "a b"s, "localhost\0evil"s, "a\r\nb"s}) {
        server.host = host;
        expect_refusal(Cause::name_not_found, Stage::resolve);
    }
}

TEST_F(Session, GivesUpOnAServerThatNeverGreets)
{
    options.timeouts.greeting = 5ms;
    start_peer({{AwaitEnd{}}});
    expect_refusal(Cause::timed_out, Stage::greeting);
    EXPECT_EQ(peer->heard(), "");
}

TEST_F(Session, GivesUpOnAServerThatDribblesForEver)
{
    options.timeouts.greeting = 5ms;
    start_peer({{Dribble{"220-a"}, AwaitEnd{}}});
    expect_refusal(Cause::timed_out, Stage::greeting);
}

TEST_F(Session, GivesUpOnAHandshakeWithoutAnswer)
{
    trust(make_certificate("127.0.0.1"));
    server.security = Security::implicit_tls;
    options.timeouts.tls = 5ms;
    start_peer({{AwaitEnd{}}});
    expect_refusal(Cause::timed_out, Stage::tls);
}

TEST_F(Session, PassesOnWhyTheServerHasNoTime)
{
    start_peer({{Say{"421 4.3.2 too busy\r\n"}}});
    expect_refusal(Cause::reply, Stage::greeting);
    EXPECT_EQ(refused->code, 421);
}

TEST_F(Session, SaysThatTheServerClosed)
{
    start_peer({no_steps});
    expect_refusal(Cause::connection_lost, Stage::greeting);
    EXPECT_EQ(refused->text, "the server closed the connection");
}

TEST_F(Session, SendsNothingAfterOctetsInjectedBehindStarttls)
{
    const Certificate certificate = make_certificate("127.0.0.1");
    trust(certificate);
    server.security = Security::starttls;
    credentials = &tim;
    start_peer({opened("250-AUTH PLAIN\r\n250 STARTTLS") +
                Script{Expect{"STARTTLS"}, Say{"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"}, AwaitEnd{}}},
               certificate);
    expect_refusal(Cause::protocol_error, Stage::starttls);
    EXPECT_EQ(peer->heard(), "EHLO erp.example.com\r\nSTARTTLS\r\n");
}

TEST_F(Session, TakesInjectedOctetsThatComeLateForABrokenHandshake)
{
    const Certificate certificate = make_certificate("127.0.0.1");
    trust(certificate);
    server.security = Security::starttls;
    credentials = &tim;
    start_peer({opened("250 STARTTLS") +
                Script{Expect{"STARTTLS"}, Say{"220 go\r\n"}, ReadOctets{1}, Say{"250 AUTH PLAIN\r\n"}, AwaitEnd{}}},
               certificate);
    expect_refusal(Cause::tls_failed, Stage::tls);
    EXPECT_THAT(peer->heard(), Not(HasSubstr("AUTH")));
}

TEST_F(Session, SendsNoPasswordWithoutStarttls)
{
    server.security = Security::starttls;
    credentials = &tim;
    start_peer({opened("250 AUTH PLAIN") + Script{AwaitEnd{}}});
    expect_refusal(Cause::tls_failed, Stage::starttls);
    EXPECT_EQ(peer->heard(), "EHLO erp.example.com\r\n");
}

class BadCertificate : public Session {
protected:
    void expect_refused_with(const Certificate& certificate, const std::string& words)
    {
        credentials = &tim;
        server.security = Security::implicit_tls;
        start_peer({{StartTls{}, AwaitEnd{}}}, certificate);
        expect_refusal(Cause::certificate, Stage::tls);
        EXPECT_THAT(refused->text, HasSubstr(words));
        EXPECT_EQ(peer->heard(), "");
    }
};

TEST_F(BadCertificate, OfAnotherAddressIsRefused)
{
    const Certificate certificate = make_certificate("127.0.0.2");
    trust(certificate);
    expect_refused_with(certificate, "another host");
}

TEST_F(BadCertificate, OfAnotherNameIsRefused)
{
    const Certificate certificate = make_certificate("mail.example.com");
    trust(certificate);
    server.host = "localhost";
    expect_refused_with(certificate, "of another host and not of localhost");
}

TEST_F(BadCertificate, ThatHasExpiredIsRefused)
{
    const Certificate certificate = make_certificate("127.0.0.1", Validity::expired);
    trust(certificate);
    expect_refused_with(certificate, "has expired");
}

TEST_F(BadCertificate, OfAnUnknownAuthorityIsRefused)
{
    trust(make_certificate("127.0.0.1"));
    expect_refused_with(make_certificate("127.0.0.1"), "is not trusted");
}

TEST_F(BadCertificate, IsRefusedBehindStarttlsAsWell)
{
    const Certificate certificate = make_certificate("mail.example.com");
    trust(certificate);
    credentials = &tim;
    server.security = Security::starttls;
    start_peer({opened("250 STARTTLS") + Script{Expect{"STARTTLS"}, Say{"220 go\r\n"}, StartTls{}, AwaitEnd{}}},
               certificate);
    expect_refusal(Cause::certificate, Stage::tls);
}

TEST(ClientContext, SaysWhichFileOfAuthoritiesCannotBeRead)
{
    const auto none = tls::ClientContext::make("/nowhere/ca.pem");
    ASSERT_FALSE(none);
    EXPECT_THAT(none.error().text, HasSubstr("/nowhere/ca.pem"));
    const TemporaryFile file("no certificate\n");
    EXPECT_FALSE(tls::ClientContext::make(file.path()));
}

TEST_F(Session, UnderstandsRepliesOctetByOctet)
{
    start_peer(
        {{Dribble{"220 mail.example.com\r\n"}, Expect{"EHLO"}, Dribble{"250-mail.example.com\r\n250 PIPELINING\r\n"},
          Expect{"MAIL"}, Expect{"RCPT"}, Expect{"DATA"}, Dribble{"250 ok\r\n250 ok\r\n354 go\r\n"}, ReadContent{},
          Dribble{"250 2.0.0 queued\r\n"}, Expect{"QUIT"}, Dribble{"221 bye\r\n"}}});
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Session, UnderstandsRepliesSplitAnywhere)
{
    const std::string replies = "250 ok\r\n250-2.1.5\r\n250 ok\r\n354 go\r\n";
    for (std::size_t at = 1; at < replies.size(); ++at) {
        start_peer({opened("250 PIPELINING") +
                    Script{Expect{"MAIL"}, Expect{"RCPT"}, Expect{"DATA"}, Say{replies.substr(0, at)},
                           Say{replies.substr(at)}} +
                    content_taken + quit_taken});
        Pieces content = small_content();
        run(do_all(content));
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted) << "split at " << at;
    }
}

TEST_F(Session, DropsAServerThatSendsAReplyLineOf10Megabytes)
{
    start_peer({{Say{"220 "}, Flood{'x', 10U * 1024 * 1024}, Say{"\r\n"}, AwaitEnd{}}});
    expect_refusal(Cause::protocol_error, Stage::greeting);
}

TEST_F(Session, ShowsNulsOfAReplyAsQuestionMarks)
{
    using namespace std::string_literals;
    start_peer({{Say{"554 a\0b\r\n"s}, AwaitEnd{}}});
    expect_refusal(Cause::reply, Stage::greeting);
    EXPECT_EQ(refused->text, "a?b");
}

TEST_F(Session, DropsAServerThatSpeaksAnotherProtocol)
{
    start_peer({{Say{"SSH-2.0-OpenSSH_9.2\r\n"}, AwaitEnd{}}});
    expect_refusal(Cause::protocol_error, Stage::greeting);
    EXPECT_THAT(refused->text, HasSubstr("SSH-2.0"));
}

} // namespace
} // namespace mailroom::smtp
