#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/capabilities.hpp"

#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

TEST(Capabilities, AreReadFromOffice365)
{
    const auto server =
        parse_capabilities(reply("250-AM5PR0601CA0034.outlook.office365.com Hello [192.0.2.1]\n"
                                 "250-SIZE 157286400\n250-PIPELINING\n250-DSN\n250-ENHANCEDSTATUSCODES\n"
                                 "250-AUTH LOGIN XOAUTH2\n250-8BITMIME\n250-BINARYMIME\n250-CHUNKING\n"
                                 "250 SMTPUTF8"));
    EXPECT_EQ(server.max_size, 157286400U);
    EXPECT_TRUE(server.size && server.pipelining && server.enhanced_status_codes && server.eight_bit_mime &&
                server.smtputf8);
    EXPECT_TRUE(server.auth && server.auth_login);
    EXPECT_FALSE(server.auth_plain);
    EXPECT_FALSE(server.starttls);
    EXPECT_EQ(server.mechanisms, "LOGIN XOAUTH2");
}

TEST(Capabilities, IgnoreCase)
{
    const auto server = parse_capabilities(reply("250-x\n250-starttls\n250-Auth plain\n250 size 10"));
    EXPECT_TRUE(server.starttls && server.auth_plain);
    EXPECT_EQ(server.max_size, 10U);
}

TEST(Capabilities, UnderstandTheOldWayToOfferALogin)
{
    const auto server = parse_capabilities(reply("250-x\n250-AUTH=LOGIN PLAIN\n250 OK"));
    EXPECT_TRUE(server.auth && server.auth_login && server.auth_plain);
}

TEST(Capabilities, AreNotReadFromTheGreeting)
{
    EXPECT_FALSE(parse_capabilities(reply("250 STARTTLS")).starttls);
    EXPECT_TRUE(parse_capabilities(reply("250-STARTTLS\n250 STARTTLS")).starttls);
}

TEST(Capabilities, KnowNoLimitWhereTheServerNamesNoneThatMakesSense)
{
    for (const std::string line : {"SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE 99999999999999999999999"}) {
        const auto server = parse_capabilities(reply("250-x\n250 " + line));
        EXPECT_TRUE(server.size) << line;
        EXPECT_FALSE(server.max_size) << line;
    }
}

TEST(Capabilities, AreWholeWords)
{
    const auto server = parse_capabilities(reply("250-x\n250-STARTTLSX\n250-XPIPELINING\n250 AUTH XPLAIN LOGINX"));
    EXPECT_FALSE(server.starttls || server.pipelining || server.auth_plain || server.auth_login);
    EXPECT_TRUE(server.auth);
}

} // namespace
} // namespace mailroom::smtp
