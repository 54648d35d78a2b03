#include "config/text.hpp"

#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/reply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(std::string_view octets)
{
    ReplyParser parser;
    const auto parsed = parser.feed(octets);
    return parsed ? "no error" : parsed.error().text;
}

TEST(Reply, HasCodeStatusAndWords)
{
    const Reply parsed = reply("250 2.1.0 Ok\r");
    EXPECT_EQ(parsed.code, 250);
    EXPECT_EQ(parsed.enhanced, "2.1.0");
    EXPECT_EQ(parsed.text(), "Ok");
}

TEST(Reply, JoinsItsLinesAndTakesTheStatusOffEach)
{
    const Reply parsed = reply("550-5.7.1 We do not\n550-5.7.1\n550 5.7.1 want this");
    EXPECT_THAT(parsed.lines, ElementsAre("We do not", "", "want this"));
    EXPECT_EQ(parsed.enhanced, "5.7.1");
    EXPECT_EQ(parsed.text(), "We do not want this");
}

TEST(Reply, MayBeACodeAlone)
{
    EXPECT_EQ(reply("354").code, 354);
    EXPECT_EQ(reply("250 ").text(), "");
}

TEST(Reply, TakesNoStatusOfAnotherClassOrShape)
{
    EXPECT_EQ(reply("550 4.7.1 odd").enhanced, "");
    EXPECT_EQ(reply("550 4.7.1 odd").text(), "4.7.1 odd");
    EXPECT_EQ(reply("550 5.7 short").enhanced, "");
    EXPECT_EQ(reply("550 5.1.1000 long").enhanced, "");
    EXPECT_EQ(reply("550 5.7.1x odd").enhanced, "");
    EXPECT_EQ(reply("250 192.0.2.1 greets you").enhanced, "");
    EXPECT_EQ(reply("554 5.2.252 SendAsDenied").enhanced, "5.2.252");
}

TEST(Reply, IsDoneByAny2xxButTheFarewell)
{
    EXPECT_TRUE(reply("250 Ok").is_done());
    EXPECT_TRUE(reply("252 Cannot verify").is_done());
    EXPECT_FALSE(reply("221 Bye").is_done());
    EXPECT_FALSE(reply("354 Go on").is_done());
}

TEST(ReplyParser, FindsTheSameReplyWhereverItsOctetsAreSplit)
{
    const std::string octets = "250-mail.example.com greets you\r\n250-SIZE 1000\r\n250 PIPELINING\r\n";
    for (std::size_t at = 0; at <= octets.size(); ++at) {
        ReplyParser parser;
        std::string_view first = std::string_view(octets).substr(0, at);
        std::string_view second = std::string_view(octets).substr(at);
        auto parsed = parser.feed(first);
        ASSERT_TRUE(parsed);
        EXPECT_TRUE(first.empty());
        if (!*parsed)
            parsed = parser.feed(second);
        ASSERT_TRUE(parsed && *parsed) << "split at " << at;
        EXPECT_THAT((*parsed)->lines, ElementsAre("mail.example.com greets you", "SIZE 1000", "PIPELINING"));
        EXPECT_TRUE(parser.is_between_replies());
    }
}

TEST(ReplyParser, StopsAtTheEndOfAReply)
{
    ReplyParser parser;
    std::string_view input = "250 one\r\n354 two\r\n55";
    EXPECT_EQ((**parser.feed(input)).code, 250);
    EXPECT_EQ(input, "354 two\r\n55");
    EXPECT_EQ((**parser.feed(input)).code, 354);
    EXPECT_FALSE((*parser.feed(input)).has_value());
    EXPECT_FALSE(parser.is_between_replies());
}

TEST(ReplyParser, RefusesWhatIsNoReply)
{
    for (const std::string_view octets : {"\r\n", "hello\r\n", "25\r\n", "2500 x\r\n", "150 x\r\n", "650 x\r\n",
                                          "2x0 x\r\n", "250_x\r\n", " 250 x\r\n", "HTTP/1.1 400 Bad Request\r\n"})
        EXPECT_THAT(error_of(octets), HasSubstr("no SMTP reply")) << octets;
}

TEST(ReplyParser, RefusesACodeThatChangesWithinAReply)
{
    EXPECT_THAT(error_of("250-one\r\n550 two\r\n"), HasSubstr("from 250 to 550"));
}

TEST(ReplyParser, TakesLinesOf2048OctetsAndNoLonger)
{
    const std::string longest = "250 " + std::string(ReplyParser::max_line - 4, 'x');
    EXPECT_EQ(reply(longest).lines.front().size(), ReplyParser::max_line - 4);
    EXPECT_THAT(error_of(longest + "x\n"), HasSubstr("2048"));
    EXPECT_THAT(error_of(longest + "x"), HasSubstr("2048")) << "without waiting for its end";
}

TEST(ReplyParser, TakesAHundredLinesAndNoMore)
{
    std::string lines;
    for (int i = 0; i < 99; ++i)
        lines += "250-x\n";
    EXPECT_EQ(reply(lines + "250 x").lines.size(), 100U);
    EXPECT_THAT(error_of(lines + "250-x\n250 x\n"), HasSubstr("100 lines"));
}

TEST(ReplyParser, RefusesMoreThan64KiB)
{
    std::string octets;
    for (int i = 0; i < 40; ++i)
        octets += "250-" + std::string(2000, 'x') + "\n";
    EXPECT_THAT(error_of(octets), HasSubstr("64 KiB"));
}

TEST(Reply, TextIsNeverLongerThan1024Octets)
{
    std::string lines;
    for (int i = 0; i < 50; ++i)
        lines += "550-" + std::string(99, 'x') + "\n";
    const std::string text = reply(lines + "550 end").text();
    EXPECT_EQ(text.size(), max_text);
    EXPECT_TRUE(is_utf8(text));
    EXPECT_EQ(reply("550 " + std::string(1500, 'x')).text().size(), max_text);
}

TEST(Reply, CarriesNoControlCharacters)
{
    using namespace std::string_view_literals;
    EXPECT_EQ(reply("550 a\0b\rc"sv).text(), "a?b c");
}

} // namespace
} // namespace mailroom::smtp
