#include "config/text.hpp"

#include <gtest/gtest.h>

#include <array>

namespace mailroom {
namespace {

TEST(Printable, KeepsUtf8AndReplacesControlCharactersAndWhatIsNone)
{
    using namespace std::string_view_literals;
    EXPECT_EQ(printable("Gr\xC3\xBC\xC3\x9F\xF0\x9F\x93\xA7", 100), "Gr\xC3\xBC\xC3\x9F\xF0\x9F\x93\xA7");
    EXPECT_EQ(printable("a\0b\x1B[31m\x7F\xC2\x9B\xC2\xA0"sv, 100), "a?b?[31m??\xC2\xA0");
    EXPECT_EQ(printable("\xFF\xC3x\xE2\x82", 100), "??x??");
}

TEST(Printable, IsOneLine)
{
    EXPECT_EQ(printable("one\ntwo\r\n\tthree", 100), "one two   three");
    EXPECT_EQ(printable("one\xE2\x80\xA8two\xE2\x80\xA9three\xC2\x85"
                        "four",
                        100),
              "one?two?three?four"); // Unicode's own line ends
}

TEST(Printable, CannotTurnTheDirectionOfWhatFollows)
{
    for (const std::string turn :
         {"\xD8\x9C", "\xE2\x80\x8E", "\xE2\x80\x8F", "\xE2\x80\xAA", "\xE2\x80\xAE", "\xE2\x81\xA6", "\xE2\x81\xA9"})
        EXPECT_EQ(printable("a" + turn + "b", 100), "a?b");
    const std::string arabic = "\xD8\xB3\xE2\x80\x8D\xD9\x84"; // with a joiner, which is part of the writing
    EXPECT_EQ(printable(arabic, 100), arabic);
}

TEST(Printable, NeverCutsACharacter)
{
    EXPECT_EQ(printable("abc\xE2\x82\xAC", 5), "abc");
    EXPECT_EQ(printable("abc\xE2\x82\xAC", 6), "abc\xE2\x82\xAC");
    EXPECT_EQ(printable("abcdef\x01", 4), "abcd");
    EXPECT_EQ(printable("abcd\x01\x01", 5), "abcd?");
}

TEST(Text, IsTrimmedOfAsciiBlanksAndLineEnds)
{
    EXPECT_EQ(trimmed(" \t\r\n a b \n"), "a b");
    EXPECT_EQ(trimmed("a"), "a");
    EXPECT_EQ(trimmed(" \n "), "");
    EXPECT_EQ(trimmed(""), "");
    EXPECT_EQ(trimmed("\xC2\xA0x"), "\xC2\xA0x"); // a no-break space is text
}

TEST(Text, IsComparedIgnoringTheCaseOfAsciiLettersAlone)
{
    EXPECT_TRUE(equals_ignoring_ascii_case("Bcc", "bCC"));
    EXPECT_FALSE(equals_ignoring_ascii_case("Bcc", "Bc"));
    EXPECT_FALSE(equals_ignoring_ascii_case("\xC3\x84", "\xC3\xA4")); // A and a with diaeresis
    EXPECT_FALSE(equals_ignoring_ascii_case("[", "{"));
    EXPECT_EQ(ascii_lower("AZ-az-[]-\xC3\x84"), "az-az-[]-\xC3\x84");
}

// Encodes any number as UTF-8 would, also those that UTF-8 must not have.
std::string encoded(std::uint32_t value, int octets)
{
    constexpr std::array<unsigned, 5> leads = {0, 0, 0xC0, 0xE0, 0xF0};
    std::string result;
    for (int i = 1; i < octets; ++i, value >>= 6)
        result.insert(result.begin(), static_cast<char>(0x80 | (value & 0x3F)));
    result.insert(result.begin(), static_cast<char>(leads.at(static_cast<std::size_t>(octets)) | value));
    return result;
}

int octets_of(std::uint32_t value)
{
    return value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
}

TEST(Utf8, HasEveryCharacterInItsShortestFormAndNoSurrogate)
{
    for (std::uint32_t value = 0; value <= 0x10FFFF; ++value) {
        const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
        ASSERT_EQ(is_utf8(encoded(value, octets_of(value))), !surrogate) << value;
    }
}

TEST(Utf8, HasNoOverlongForms)
{
    for (std::uint32_t value = 0; value < 0x10000; ++value) {
        for (int octets = octets_of(value) + 1; octets <= 4; ++octets)
            ASSERT_FALSE(is_utf8(encoded(value, octets))) << value << " in " << octets;
    }
}

TEST(Utf8, EndsAtTheLastCharacterOfUnicode)
{
    EXPECT_TRUE(is_utf8("\xF4\x8F\xBF\xBF"));
    EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));
    EXPECT_FALSE(is_utf8("\xF5\x80\x80\x80"));
    EXPECT_FALSE(is_utf8("\xFF"));
}

TEST(Utf8, HasNoCharacterCutShortNorAContinuationAlone)
{
    const std::string four = "\xF0\x9F\x98\x80";
    for (std::size_t size = 1; size < four.size(); ++size) {
        EXPECT_FALSE(is_utf8(four.substr(0, size)));
        EXPECT_FALSE(is_utf8(four.substr(0, size) + "a"));
        EXPECT_FALSE(is_utf8(four.substr(size)));
    }
    EXPECT_FALSE(is_utf8("a\x80"));
}

TEST(Utf8, IsLookedAtWhereverItStandsInALongText)
{
    for (std::size_t at = 0; at < 40; ++at) {
        const std::string before(at, 'a');
        for (const std::size_t behind : {0U, 1U, 7U, 8U, 20U}) {
            const std::string rest(behind, 'z');
            EXPECT_TRUE(is_utf8(before + "\xC3\xA9" + rest)) << at << " " << behind;
            EXPECT_FALSE(is_utf8(before + "\xC3" + rest)) << at << " " << behind;
            EXPECT_FALSE(is_utf8(before + "\xA9" + rest)) << at << " " << behind;
        }
    }
}

TEST(HeaderText, TakesEveryScript)
{
    for (const std::string text : {"", " ", "Hello", "Grüße", "日本語", "🎉👩‍💻", "~", "\xC2\xA0"})
        EXPECT_EQ(HeaderText::make(text).value().str(), text);
}

TEST(HeaderText, RefusesEveryControlCharacter)
{
    for (int c = 0; c < 0xA0; ++c) {
        const bool control = c < 0x20 || c >= 0x7F;
        const std::string character = encoded(static_cast<std::uint32_t>(c), octets_of(static_cast<std::uint32_t>(c)));
        EXPECT_EQ(HeaderText::make("a" + character + "b").has_value(), !control) << c;
        EXPECT_EQ(HeaderText::make(character).has_value(), !control) << c;
    }
}

TEST(HeaderText, RefusesWhatIsNotUtf8OrTooLong)
{
    EXPECT_EQ(HeaderText::make("a\xFF").error().text, "not valid UTF-8");
    EXPECT_TRUE(HeaderText::make(std::string(HeaderText::max_size, 'x')));
    EXPECT_EQ(HeaderText::make(std::string(HeaderText::max_size + 1, 'x')).error().text, "longer than 8192 octets");
}

TEST(HeaderName, IsPrintableAsciiWithoutAColon)
{
    EXPECT_EQ(HeaderName::make("X-Order").value().str(), "X-Order");
    for (int c = 0; c < 256; ++c)
        EXPECT_EQ(HeaderName::make(std::string(1, static_cast<char>(c))).has_value(), c > 0x20 && c < 0x7F && c != ':')
            << c;
    EXPECT_FALSE(HeaderName::make(""));
    EXPECT_TRUE(HeaderName::make(std::string(76, 'x')));
    EXPECT_FALSE(HeaderName::make(std::string(77, 'x')));
}

TEST(CountOf, IsGroupedAndSaysOneOrMany)
{
    EXPECT_EQ(count_of(0, "message"), "0 messages");
    EXPECT_EQ(count_of(1, "message"), "1 message");
    EXPECT_EQ(count_of(999, "message"), "999 messages");
    EXPECT_EQ(count_of(1'234'567, "message"), "1,234,567 messages");
}

} // namespace
} // namespace mailroom
