// Headers with an address that needs SMTPUTF8: they go to nobody over a server that does not offer it, whoever the
// envelope names.
#include "tests/unit/smtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string joerg = "j\xC3\xB6rg@example.com";

// To b@ alone, of a message that names jörg as well.
Envelope with_joerg_in_header(std::vector<std::string> recipients)
{
    Envelope to = envelope(std::move(recipients));
    to.in_header_beyond_ascii = address(joerg);
    return to;
}

TEST(Smtputf8, OneInTheHeaderKeepsTheMessageFromEverybodyWhereItIsNotOffered)
{
    for (const std::vector<std::string>& recipients :
         std::vector<std::vector<std::string>>{{"b@example.com"}, {joerg, "b@example.com"}, {joerg}}) {
        const Dialogue d(with_joerg_in_header(recipients), pipelining());
        ASSERT_TRUE(d.is_finished());
        EXPECT_EQ(d.outcome().verdict, Verdict::give_up);
        EXPECT_EQ(d.outcome().scope, Scope::message);
        EXPECT_EQ(d.outcome().cause, Cause::needs_smtputf8);
        EXPECT_THAT(d.outcome().text, HasSubstr(joerg));
        EXPECT_THAT(d.recipients(), IsEmpty()) << "it holds for all";
        EXPECT_EQ(d.end().link, LinkState::clean);
    }
}

TEST(Smtputf8, IsAskedForWhereOnlyTheHeaderNeedsIt)
{
    Capabilities server;
    server.smtputf8 = true;
    EXPECT_EQ(Dialogue(with_joerg_in_header({"b@example.com"}), server).said(),
              "MAIL FROM:<anna@example.com> SMTPUTF8\r\n");
}

// Two mails of the same size to the same people, one of which names jörg.
TEST_F(Session, AMessageThatWasBegunWithoutSmtputf8IsNotTakenForOneThatNeedsIt)
{
    for (const bool begun_with : {false, true}) {
        const Envelope plain = envelope({"b@example.com"});
        const Envelope beyond = with_joerg_in_header({"b@example.com"});
        start_peer({opened("250-SMTPUTF8\r\n250 PIPELINING") + envelope_taken_at_once + Script{ReadContent{}} +
                    Script{Expect{"MAIL FROM:"}, Expect{"RCPT TO:"}, Expect{"DATA"},
                           Say{"250 first\r\n250 ok\r\n250 ok\r\n354 go\r\n"}, ReadOctets{1}, Say{"250 second\r\n"}}});
        Pieces first({"Subject: first\r\n"});
        Pieces second({"Subject: second\r\n"});
        following = [&] { return std::optional<Following>({begun_with ? beyond : plain, second.size()}); };
        to = plain;
        run(do_open_and_submit(first));
        ASSERT_TRUE(connection->has_begun());
        following = nullptr;
        to = begun_with ? plain : beyond;
        run(do_submit(second));
        EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
        EXPECT_THAT(peer->heard(), Not(HasSubstr("second")));
    }
}

} // namespace
} // namespace mailroom::smtp
