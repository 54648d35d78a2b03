#include "transport/mime/header_field.hpp"

#include "sample.hpp"

#include <gmock/gmock.h>

namespace mailroom::mime {
namespace {

using testing::Each;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

std::string subject(std::string text)
{
    std::string out;
    append_unstructured(out, "Subject", header_text(std::move(text)), Unstructured::prose);
    return out;
}

std::string producers(std::string name, std::string text)
{
    std::string out;
    append_producers_header(out, HeaderName::make(std::move(name)).value(), header_text(std::move(text)));
    return out;
}

std::string to(std::vector<NamedAddress> addresses)
{
    std::string out;
    append_addresses(out, "To", addresses);
    return out;
}

std::string date(std::int64_t seconds)
{
    std::string out;
    append_date(out, std::chrono::sys_seconds(std::chrono::seconds(seconds)));
    return out;
}

std::size_t longest_line(std::string_view text)
{
    std::size_t result = 0;
    for (const std::string_view line : lines(text))
        result = std::max(result, line.size());
    return result;
}

TEST(Subject, OfPlainWordsStandsAsItIs)
{
    EXPECT_EQ(subject("Invoice 42 (copy), \"final\""), "Subject: Invoice 42 (copy), \"final\"\r\n");
    EXPECT_EQ(subject(""), "Subject:\r\n");
    EXPECT_EQ(subject("a  b"), "Subject: a  b\r\n");
}

TEST(Subject, IsFoldedAt78CharactersAndKeepsItsBlanks)
{
    const std::string sixty(60, 'x');
    EXPECT_EQ(subject(sixty + " 12345678"), "Subject: " + sixty + " 12345678\r\n"); // 78
    EXPECT_EQ(subject(sixty + " 123456789"), "Subject: " + sixty + "\r\n 123456789\r\n");
    EXPECT_EQ(subject(sixty + "   123456789"), "Subject: " + sixty + "\r\n   123456789\r\n");
}

TEST(Subject, ThatIsNotAsciiIsEncodedInFull)
{
    EXPECT_EQ(subject("Grüße aus Köln am Rhein, Ihre Agentur"),
              "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln_am_Rhein=2C_Ihre_Agentur?=\r\n");
    EXPECT_EQ(subject("日本"), "Subject: =?UTF-8?B?5pel5pys?=\r\n");
}

TEST(Subject, ThatIsLongAndNotAsciiHasOneEncodedWordOfAtMost75CharactersToALine)
{
    std::string text;
    for (int i = 0; i < 60; ++i)
        text += "счёт ";
    const std::string written = subject(text + "!");
    EXPECT_THAT(lines(written), Each(SizeIs(testing::Le(76U))));
    for (const std::string_view line : lines(written)) {
        EXPECT_THAT(std::string(line), EndsWith("?="));
        EXPECT_THAT(std::string(line), StartsWith(line.starts_with("Subject") ? "Subject: =?UTF-8?B?" : " =?UTF-8?B?"));
    }
}

TEST(Subject, KeepsBlanksAtItsEndsBecauseTheyAreEncoded)
{
    EXPECT_EQ(subject(" a"), "Subject: =?UTF-8?Q?_a?=\r\n");
    EXPECT_EQ(subject("a  "), "Subject: =?UTF-8?Q?a__?=\r\n");
    EXPECT_EQ(subject("   "), "Subject: =?UTF-8?Q?___?=\r\n");
}

TEST(Subject, CannotPassForAnEncodedWord)
{
    EXPECT_THAT(subject("=?UTF-8?Q?forged?="), Not(HasSubstr("forged?=\r\n Q")));
    EXPECT_EQ(subject("=?UTF-8?Q?forged?="), "Subject: =?UTF-8?B?PT9VVEYtOD9RP2ZvcmdlZD89?=\r\n");
    EXPECT_EQ(subject("why=?"), "Subject: =?UTF-8?B?d2h5PT8=?=\r\n");
}

TEST(Subject, WithAWordTooLongForALineIsEncodedRatherThanOverlong)
{
    EXPECT_EQ(subject(std::string(69, 'x')), "Subject: " + std::string(69, 'x') + "\r\n");
    EXPECT_LE(longest_line(subject(std::string(70, 'x'))), 76U);
    EXPECT_LE(longest_line(subject("a " + std::string(5000, 'x'))), 76U);
}

TEST(Subject, NeverHasALineOfBlanksAlone)
{
    const std::string written = subject("a" + std::string(300, ' ') + "b");
    for (const std::string_view line : lines(written))
        EXPECT_NE(line.find_first_not_of(' '), std::string_view::npos);
    EXPECT_LE(longest_line(written), 76U);
}

TEST(ProducersHeader, KeepsALongTokenInOnePiece)
{
    const std::string token(500, 'k');
    EXPECT_EQ(producers("X-Token", token), "X-Token: " + token + "\r\n");
}

TEST(ProducersHeader, OverTheLimitOfALineIsEncoded)
{
    EXPECT_LE(longest_line(producers(std::string(76, 'N'), std::string(900, 'k'))), 998U);
    EXPECT_LE(longest_line(producers("X-Token", std::string(901, 'k'))), 76U);
    EXPECT_LE(longest_line(producers("References", "<" + std::string(2000, 'k') + "@x>")), 76U);
}

TEST(ProducersHeader, WhoseGrammarKnowsNoEncodedWordsStandsAsItIs)
{
    const std::string link = "<https://example.com/u?a=?utf-8?" + std::string(60, 'x') + ">,";
    EXPECT_EQ(producers("List-Unsubscribe", link + " <mailto:u@example.com>"),
              "List-Unsubscribe: " + link + "\r\n <mailto:u@example.com>\r\n");
    EXPECT_EQ(producers("references", " <a@b> <c@d> "), "references: <a@b> <c@d>\r\n");
}

TEST(ProducersHeader, ThatIsNotAsciiIsEncoded)
{
    EXPECT_EQ(producers("X-Customer", "Jörg"), "X-Customer: =?UTF-8?B?SsO2cmc=?=\r\n");
}

TEST(Addresses, StandBareWithoutAName)
{
    EXPECT_EQ(to({named("", "a@example.com")}), "To: a@example.com\r\n");
}

TEST(Addresses, HaveNamesAsAtomsQuotedStringsOrEncodedWords)
{
    EXPECT_EQ(to({named("Ann Lee", "a@b.example")}), "To: Ann Lee <a@b.example>\r\n");
    EXPECT_EQ(to({named("Lee, Ann", "a@b.example")}), "To: \"Lee, Ann\" <a@b.example>\r\n");
    EXPECT_EQ(to({named("A \"B\" \\C", "a@b.example")}), "To: \"A \\\"B\\\" \\\\C\" <a@b.example>\r\n");
    EXPECT_EQ(to({named("Dr. No", "a@b.example")}), "To: \"Dr. No\" <a@b.example>\r\n");
    EXPECT_EQ(to({named("Jörg, \"J\"", "a@b.example")}), "To: =?UTF-8?B?SsO2cmcsICJKIg==?= <a@b.example>\r\n");
    EXPECT_EQ(to({named("=?x?Q?y?=", "a@b.example")}), "To: =?UTF-8?B?PT94P1E/eT89?= <a@b.example>\r\n");
}

TEST(Addresses, CannotSmuggleAnotherAddressInAName)
{
    EXPECT_EQ(to({named("x>, evil@example.com, y", "a@b.example")}),
              "To: \"x>, evil@example.com, y\" <a@b.example>\r\n");
    EXPECT_EQ(to({named("x\\", "a@b.example")}), "To: \"x\\\\\" <a@b.example>\r\n");
}

TEST(Addresses, AreFoldedBetweenAndNeverInside)
{
    std::vector<NamedAddress> many;
    for (int i = 0; i < 40; ++i)
        many.push_back(named("Person, Number " + std::to_string(i), "person" + std::to_string(i) + "@example.com"));
    const std::string written = to(many);
    EXPECT_LE(longest_line(written), 78U);
    for (int i = 0; i < 40; ++i) {
        EXPECT_THAT(written, HasSubstr("\"Person, Number " + std::to_string(i) + "\""));
        EXPECT_THAT(written, HasSubstr("<person" + std::to_string(i) + "@example.com>"));
    }
}

TEST(Addresses, OfTheGreatestLengthStayInOnePiece)
{
    const std::string longest = std::string(64, 'l') + "@" + std::string(60, 'd') + "." + std::string(60, 'd') + "." +
                                std::string(59, 'd') + ".abcdefg";
    ASSERT_EQ(longest.size(), MailAddress::max_size);
    EXPECT_EQ(to({named("Ann", longest)}), "To: Ann\r\n <" + longest + ">\r\n");
}

TEST(Addresses, ThatAreNotAsciiStandInUtf8BeforeTheAtWhileTheirNamesAreEncoded)
{
    EXPECT_EQ(to({named("Jörg", "jörg@bücher.example")}), "To: =?UTF-8?B?SsO2cmc=?= <jörg@xn--bcher-kva.example>\r\n");
}

// RFC 2047 section 2: "Each line of a header field that contains one or more 'encoded-word's is limited to 76
// characters".
TEST(Addresses, KeepLinesWithEncodedWordsTo76CharactersWhereverTheAddressEnds)
{
    for (std::size_t size = 12; size <= 64; ++size) {
        const std::string local(size - 11, 'l');
        const std::string field = to({{header_text("größe"), MailAddress::parse(local + "@example.de").value()},
                                      {header_text("größe"), MailAddress::parse("b@example.de").value()}});
        for (const std::string_view line : lines(field))
            EXPECT_TRUE(line.size() <= 76 || line.find("=?UTF-8?") == std::string_view::npos) << line;
    }
}

TEST(Date, IsWrittenInUtcWithANumericZone)
{
    EXPECT_EQ(date(0), "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n");
    EXPECT_EQ(date(1796115907), "Date: Tue, 01 Dec 2026 09:05:07 +0000\r\n");
    EXPECT_EQ(date(951827696), "Date: Tue, 29 Feb 2000 12:34:56 +0000\r\n");
    EXPECT_EQ(date(4107542399), "Date: Sun, 28 Feb 2100 23:59:59 +0000\r\n");
}

} // namespace
} // namespace mailroom::mime
