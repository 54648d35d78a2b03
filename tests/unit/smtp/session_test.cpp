// Whole sessions that go well, and the sum of all that do not: the peer ends after every one of its steps.
#include "tests/unit/smtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST_F(Session, DeliversAMessageStepByStep)
{
    start_peer({opened() + envelope_taken + content_taken + quit_taken});
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    EXPECT_EQ(delivery.outcome.text, "queued");
    EXPECT_EQ(delivery.server, "127.0.0.1:" + std::to_string(peer->port()));
    EXPECT_FALSE(delivery.reused_connection);
    EXPECT_THAT(peer->heard(), HasSubstr("DATA\r\nSubject: hello\r\n\r\nBody\r\n.\r\nQUIT\r\n"));
}

TEST_F(Session, DeliversAMessageInOneFlight)
{
    start_peer({opened("250 PIPELINING") + envelope_taken_at_once + content_taken + quit_taken});
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Session, DeliversOverImplicitTls)
{
    const Certificate certificate = make_certificate("127.0.0.1");
    trust(certificate);
    server.security = Security::implicit_tls;
    credentials = &tim;
    start_peer({Script{StartTls{}} + opened("250-PIPELINING\r\n250 AUTH PLAIN") +
                Script{Expect{"AUTH PLAIN AHRpbQBzZWNyZXQ="}, Say{"235 ok\r\n"}} + envelope_taken_at_once +
                content_taken + quit_taken},
               certificate);
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    EXPECT_THAT(peer->heard(), HasSubstr("Body\r\n.\r\nQUIT\r\n"));
}

TEST_F(Session, DeliversOverStarttls)
{
    const Certificate certificate = make_certificate("localhost");
    trust(certificate);
    server = {"localhost", server.port, Security::starttls};
    credentials = &tim;
    start_peer(
        {opened("250 STARTTLS") +
         Script{Expect{"STARTTLS"}, Say{"220 go\r\n"}, StartTls{}, Expect{"EHLO"},
                Say{"250-mail.example.com\r\n250 AUTH LOGIN\r\n"}, Expect{"AUTH LOGIN"}, Say{"334 VXNlcm5hbWU6\r\n"},
                Expect{"dGlt"}, Say{"334 UGFzc3dvcmQ6\r\n"}, Expect{"c2VjcmV0"}, Say{"235 ok\r\n"}} +
         envelope_taken + content_taken + quit_taken},
        certificate);
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Session, StuffsDotsAndEndsTheLastLine)
{
    start_peer({opened() + envelope_taken + content_taken + quit_taken});
    Pieces content({".a\r\n", "b\r\n", ".\r\n", "..c"});
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    EXPECT_THAT(peer->heard(), HasSubstr("DATA\r\n..a\r\nb\r\n..\r\n...c\r\n.\r\nQUIT"));
}

TEST_F(Session, DeliversAnEmptyContent)
{
    start_peer({opened() + envelope_taken + content_taken + quit_taken});
    Pieces content({});
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    EXPECT_THAT(peer->heard(), HasSubstr("DATA\r\n.\r\nQUIT"));
}

TEST_F(Session, DeliversALargeContentUnchanged)
{
    for (const Security security : {Security::none, Security::implicit_tls}) {
        const Certificate certificate = make_certificate("127.0.0.1");
        trust(certificate);
        server.security = security;
        const Script start = security == Security::none ? no_steps : Script{StartTls{}};
        const std::string text = large_text();
        start_peer(
            {start + opened() + envelope_taken + Script{ReadOctets{text.size() + 3}, Say{"250 ok\r\n"}} + quit_taken},
            certificate);
        Pieces content({text.substr(0, 78), text.substr(78)});
        run(do_all(content));
        EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
        EXPECT_NE(peer->heard().find("DATA\r\n" + text + ".\r\n"), std::string::npos);
    }
}

TEST_F(Session, CarriesSeveralMessages)
{
    start_peer({opened() + envelope_taken + content_taken + envelope_taken + content_taken + quit_taken});
    Pieces first = small_content();
    Pieces second = small_content();
    run(do_open_and_submit(first));
    EXPECT_TRUE(connection->is_alive());
    EXPECT_EQ(connection->messages_carried(), 1);
    run(do_submit(second));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    EXPECT_TRUE(delivery.reused_connection);
    EXPECT_EQ(connection->messages_carried(), 2);
    run(close(std::move(connection)));
}

TEST_F(Session, ResetsBeforeTheMessageAfterAFailedOne)
{
    start_peer({opened() +
                Script{Expect{"MAIL FROM"}, Say{"250 ok\r\n"}, Expect{"RCPT TO"}, Say{"550 5.1.1 unknown\r\n"},
                       Expect{"RSET"}, Say{"250 ok\r\n"}} +
                envelope_taken + content_taken + quit_taken});
    Pieces first = small_content();
    Pieces second = small_content();
    run(do_open_and_submit(first));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::give_up);
    EXPECT_TRUE(connection->is_alive());
    run(do_submit(second));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
    run(close(std::move(connection)));
}

TEST_F(Session, IsNeverAcceptedWhenThePeerEndsBeforeItsLastWord)
{
    const Script course = opened("250 PIPELINING") + envelope_taken_at_once + Script{ReadContent{}, Say{"250 ok"}};
    for (std::size_t steps = 0; steps <= course.size(); ++steps) {
        connection.reset();
        refused.reset();
        delivery = {};
        start_peer({Script(course.begin(), course.begin() + static_cast<std::ptrdiff_t>(steps))});
        Pieces content = small_content();
        run(do_open_and_submit(content));
        if (!connection) {
            EXPECT_EQ(refused->verdict, Verdict::try_again) << steps;
            continue;
        }
        // The content goes out as soon as the server has said 354.
        EXPECT_EQ(delivery.outcome.verdict, steps < 7 ? Verdict::try_again : Verdict::in_doubt) << steps;
    }
}

} // namespace
} // namespace mailroom::smtp
