#include "transport/mime/body.hpp"

#include "sample.hpp"

#include <gmock/gmock.h>

namespace mailroom::mime {
namespace {

using enum TransferEncoding;
using testing::Each;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::SizeIs;

std::string written(std::string_view text)
{
    std::string out;
    append_body(out, examine(text));
    return out;
}

TEST(Body, OfShortAsciiLinesStandsAsItIs)
{
    EXPECT_EQ(examine("Hello\r\n\r\n\tworld!\r\n").encoding, seven_bit);
    EXPECT_EQ(written("Hello\r\n\r\n\tworld!\r\n"), "Hello\r\n\r\n\tworld!\r\n");
    EXPECT_EQ(examine("").encoding, seven_bit);
    EXPECT_EQ(examine(std::string(78, 'x') + "\r\n" + std::string(78, 'y')).encoding, seven_bit);
}

TEST(Body, GetsCrlfForEveryKindOfLineEnd)
{
    EXPECT_EQ(written("a\nb\n\nc\n"), "a\r\nb\r\n\r\nc\r\n");
    EXPECT_EQ(written("a\rb\r\rc\r"), "a\r\nb\r\n\r\nc\r\n");
    EXPECT_EQ(written("a\r\nb\nc\rd\n\re"), "a\r\nb\r\nc\r\nd\r\n\r\ne");
    EXPECT_EQ(written("\r\r\n\n"), "\r\n\r\n\r\n");
}

TEST(Body, ThatWouldBeChangedOnItsWayIsQuotedPrintable)
{
    EXPECT_EQ(examine(std::string(79, 'x')).encoding, quoted_printable);
    EXPECT_EQ(examine("a \r\n").encoding, quoted_printable);
    EXPECT_EQ(examine("a\t\nb").encoding, quoted_printable);
    EXPECT_EQ(examine("a\nb ").encoding, quoted_printable);
    EXPECT_EQ(examine("a\nFrom me\n").encoding, quoted_printable);
    EXPECT_EQ(examine("From me").encoding, quoted_printable);
    EXPECT_EQ(examine("From: me\n From me").encoding, seven_bit);
}

TEST(Body, NeverHasALineThatCouldBeADelimiter)
{
    EXPECT_EQ(examine("a\n--=_7-42_1\n").encoding, quoted_printable);
    EXPECT_EQ(examine("--=_7-42_1--").encoding, quoted_printable);
    EXPECT_EQ(written("--=_7-42_1--"), "--=3D_7-42_1--");
    EXPECT_EQ(examine("-- \x41\n--\n--=\n=_").encoding, seven_bit);
}

TEST(Body, WithFewCharactersBeyondAsciiIsQuotedPrintable)
{
    EXPECT_EQ(written("Grüße aus Köln und Umgebung, 1=1\n"), "Gr=C3=BC=C3=9Fe aus K=C3=B6ln und Umgebung, 1=3D1\r\n");
}

TEST(Body, WithMoreThanASixthBeyondAsciiIsBase64)
{
    EXPECT_EQ(examine("日本語の本文\n").encoding, base64);
    EXPECT_EQ(written("日本\n"), "5pel5pysDQo=\r\n");
    EXPECT_EQ(examine("\xC3\xA9" + std::string(10, 'x')).encoding, quoted_printable); // 2 of 12
    EXPECT_EQ(examine("\xC3\xA9" + std::string(9, 'x')).encoding, base64);            // 2 of 11
}

TEST(Body, NeverShowsAControlCharacter)
{
    const std::string text = std::string(40, 'x') + std::string("\0\x01\x1B\x7F", 4) + "\n";
    EXPECT_EQ(written(text), std::string(40, 'x') + "=00=01=1B=7F\r\n");
    EXPECT_EQ(examine(std::string(3, '\0')).encoding, base64);
    EXPECT_EQ(examine("a\x0C" + std::string(20, 'b')).encoding, quoted_printable);
}

TEST(Body, FindsWhatIsOddAtEveryPlaceOfAWord)
{
    for (std::size_t at = 0; at < 24; ++at) {
        for (const char odd : {'\0', '\x1F', '\x7F', '\x80', '\xFF'}) {
            std::string text(48, 'x');
            text[at] = odd;
            EXPECT_EQ(examine(text).encoding, quoted_printable) << at << " " << static_cast<int>(odd);
        }
        for (const char usual : {' ', '~', '\t'}) {
            std::string text(48, 'x');
            text[at] = usual;
            EXPECT_EQ(examine(text).encoding, seven_bit) << at;
        }
    }
}

TEST(QuotedPrintable, BreaksLinesSoftlyAt76Characters)
{
    const std::string text(200, 'x');
    EXPECT_EQ(written(text), std::string(75, 'x') + "=\r\n" + std::string(75, 'x') + "=\r\n" + std::string(50, 'x'));
    for (std::size_t before = 60; before < 80; ++before)
        EXPECT_THAT(lines(written(std::string(before, 'x') + "é" + std::string(100, 'y'))), Each(SizeIs(Le(76U))));
}

TEST(QuotedPrintable, EncodesBlanksAtTheEndsOfLines)
{
    EXPECT_EQ(written("a \nb\t\n c d "), "a=20\r\nb=09\r\n c d=20");
    EXPECT_EQ(written("  \n"), " =20\r\n");
}

TEST(QuotedPrintable, ProtectsTheStartsOfLinesAlsoBehindSoftBreaks)
{
    EXPECT_EQ(written("From me\n.\n..x"), "=46rom me\r\n=2E\r\n=2E.x");
    EXPECT_EQ(written(std::string(75, 'x') + "From me"), std::string(75, 'x') + "=\r\n=46rom me");
    EXPECT_EQ(written(std::string(75, 'x') + "...."), std::string(75, 'x') + "=\r\n=2E...");
}

TEST(Body, StaysWithinTheSizeThatItAnnounces)
{
    const std::vector<std::string> texts = {"",
                                            "\n\n\n",
                                            std::string(1000, '='),
                                            std::string(999, '\n'),
                                            "a\nb\rc\r\n",
                                            std::string(5000, '.'),
                                            "From \n ",
                                            "é",
                                            "日本語\n",
                                            std::string(76, 'x') + " ",
                                            " \n \n \n",
                                            ".\n.\n.",
                                            std::string(80, '.') + "\xC3\xA9",
                                            std::string(700, ' ')};
    for (const std::string& text : texts)
        EXPECT_LE(written(text).size(), examine(text).max_size) << text;
}

} // namespace
} // namespace mailroom::mime
