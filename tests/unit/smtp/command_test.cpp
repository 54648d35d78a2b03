#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/command.hpp"

#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using command::SmtpUtf8;

TEST(ClientName, IsAHostNameOrAnAddressLiteral)
{
    for (const std::string_view good :
         {"erp.example.com", "erp", "ERP-2.example.com", "win_2019", "[192.0.2.1]", "[IPv6:2001:db8::1]"})
        EXPECT_TRUE(ClientName::make(good)) << good;
    using namespace std::string_view_literals;
    for (const std::string_view bad : {""sv, " "sv, "a b"sv, "a\r\nRSET"sv, "a\nb"sv, "a\0b"sv, ".a"sv, "a."sv,
                                       "a..b"sv, "192.0.2.1]"sv, "[192.0.2]"sv, "[2001:db8::1]"sv, "[IPv6:192.0.2.1]"sv,
                                       "[IPv6:fe80::1%eth0]"sv, "m\xC3\xBCller.example"sv, "<a>"sv})
        EXPECT_FALSE(ClientName::make(bad)) << bad;
    EXPECT_FALSE(ClientName::make(std::string(256, 'a')));
}

TEST(Command, IsOneLine)
{
    const ClientName client = ClientName::make("erp.example.com").value();
    EXPECT_EQ(command::ehlo(client), "EHLO erp.example.com\r\n");
    EXPECT_EQ(command::helo(client), "HELO erp.example.com\r\n");
    EXPECT_EQ(command::mail_from(address("a@example.com"), {}, SmtpUtf8::no), "MAIL FROM:<a@example.com>\r\n");
    EXPECT_EQ(command::mail_from(address("a@example.com"), 1234, SmtpUtf8::yes),
              "MAIL FROM:<a@example.com> SIZE=1234 SMTPUTF8\r\n");
    EXPECT_EQ(command::rcpt_to(address("b@example.com")), "RCPT TO:<b@example.com>\r\n");
}

TEST(Command, EncodesAPlainLogin) // the example of RFC 4616 section 4
{
    const Credentials credentials{"tim", Secret("tanstaaftanstaaf")};
    EXPECT_EQ(command::auth_plain(credentials), "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
    EXPECT_EQ(command::auth_plain_response(credentials), "AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
    EXPECT_EQ(command::auth_login_name(credentials), "dGlt\r\n");
    EXPECT_EQ(command::auth_login_password(credentials), "dGFuc3RhYWZ0YW5zdGFhZg==\r\n");
}

TEST(Command, CannotBeSplitByALineEndInALogin)
{
    const Credentials credentials{"tim\r\nRSET", Secret("x\r\nRSET\r\n")};
    for (const std::string& line : {command::auth_plain(credentials), command::auth_plain_response(credentials),
                                    command::auth_login_name(credentials), command::auth_login_password(credentials)})
        EXPECT_EQ(line.find("\r\n"), line.size() - 2);
}

TEST(Command, SendsTheInitialResponseOnlyInALineOf512Octets)
{
    // "AUTH PLAIN " and CRLF leave 499 octets: 124 quads of base64, or 372 octets.
    const Credentials longest{"tim", Secret(std::string(372 - 5, 'x'))};
    EXPECT_EQ(command::auth_plain(longest).size(), 11U + 496U + 2U);
    const Credentials longer{"tim", Secret(std::string(373 - 5, 'x'))};
    EXPECT_EQ(command::auth_plain(longer), "AUTH PLAIN\r\n");
    EXPECT_EQ(command::auth_plain_response(longer).size(), 500U + 2U);
}

} // namespace
} // namespace mailroom::smtp
