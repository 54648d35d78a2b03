#include "transport/mime/encoded_word.hpp"

#include "config/text.hpp"

#include <gtest/gtest.h>

#include <map>

namespace mailroom::mime {
namespace {

// Ten samples: eight scripts besides Latin, and emoji of four octets with their joiners.
const std::map<std::string, std::string> scripts = {
    {"latin", "Grüße, façade, señor – naïve"}, {"greek", "Τιμολόγιο για την παραγγελία σας"},
    {"cyrillic", "Счёт за октябрь готов"},     {"hebrew", "חשבונית עבור ההזמנה שלך"},
    {"arabic", "فاتورة طلبك جاهزة"},           {"devanagari", "आपका चालान तैयार है"},
    {"thai", "ใบแจ้งหนี้ของคุณพร้อมแล้ว"},           {"chinese", "您的发票已准备好，请查收"},
    {"hangul", "송장이 준비되었습니다"},       {"emoji", "🎉👩‍💻🇮🇹✅❤️😀𝕏🧾"},
};

std::string decoded(std::string_view word)
{
    EXPECT_TRUE(word.starts_with("=?UTF-8?") && word.ends_with("?="));
    const bool is_q = word[8] == 'Q';
    const std::string_view payload = word.substr(10, word.size() - 12);
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string result;
    unsigned bits = 0;
    int count = 0;
    for (std::size_t i = 0; i < payload.size(); ++i) {
        if (is_q && payload[i] == '=') {
            result += static_cast<char>(std::stoi(std::string(payload.substr(i + 1, 2)), nullptr, 16));
            i += 2;
        } else if (is_q) {
            result += payload[i] == '_' ? ' ' : payload[i];
        } else if (payload[i] != '=') {
            bits = bits << 6 | static_cast<unsigned>(alphabet.find(payload[i]));
            count += 6;
            if (count >= 8)
                result += static_cast<char>(bits >> (count -= 8) & 0xFF);
        }
    }
    return result;
}

TEST(EncodedWord, TakesTheShorterEncodingAndTheReadableOneOnATie)
{
    EXPECT_EQ(shorter_encoding("Grüße aus der Rechnungsstelle und gute Wünsche"), WordEncoding::q);
    EXPECT_EQ(shorter_encoding("Счёт"), WordEncoding::b);
    EXPECT_EQ(shorter_encoding("日本"), WordEncoding::b);
    EXPECT_EQ(shorter_encoding("abc"), WordEncoding::q);
    EXPECT_EQ(shorter_encoding(".aaaaaa"), WordEncoding::q);
}

TEST(EncodedWord, EscapesInQWhatAPhraseDoesNotAllow)
{
    std::string out;
    std::string_view text = "a_b =?\"(x),.é+-/*!";
    take_encoded_word(out, text, WordEncoding::q, 75);
    EXPECT_EQ(out, "=?UTF-8?Q?a=5Fb_=3D=3F=22=28x=29=2C=2E=C3=A9+-/*!?=");
    EXPECT_TRUE(text.empty());
}

TEST(EncodedWord, NeverSplitsACharacterNorPassesItsRoomInAnyScript)
{
    for (const auto& [script, sample] : scripts) {
        const std::string original = sample + " " + sample + " " + sample;
        for (const WordEncoding encoding : {WordEncoding::b, WordEncoding::q}) {
            for (std::size_t room = min_encoded_word; room <= max_encoded_word + 5; ++room) {
                std::string joined;
                for (std::string_view rest = original; !rest.empty();) {
                    std::string word;
                    take_encoded_word(word, rest, encoding, room);
                    ASSERT_LE(word.size(), std::min(room, max_encoded_word)) << script;
                    ASSERT_TRUE(is_utf8(decoded(word))) << script << " " << word;
                    joined += decoded(word);
                }
                ASSERT_EQ(joined, original) << script;
            }
        }
    }
}

// GMime up to 3.2.13 is a reader that drops what stands behind a padding, although each word is to be decoded by itself
// (RFC 2047 section 2).
TEST(EncodedWord, IsNotPaddedBeforeAnotherOneWhereWholeCharactersLetIt)
{
    for (const std::string character : {"ж", "日", "🎉", "жa", "🎉a日"}) {
        std::string original;
        for (int i = 0; i < 60; ++i)
            original += character;
        for (std::string_view rest = original; !rest.empty();) {
            std::string word;
            take_encoded_word(word, rest, WordEncoding::b, max_encoded_word);
            EXPECT_TRUE(rest.empty() || !word.ends_with("=?=")) << word;
        }
    }
}

} // namespace
} // namespace mailroom::mime
