#include "transport/mime/base64.hpp"

#include "transport/mime/composer.hpp"

#include <gtest/gtest.h>

namespace mailroom::mime {
namespace {

std::string encoded(std::string_view bytes)
{
    std::string out;
    append_base64(out, bytes);
    return out;
}

std::string base64_lines(std::string_view bytes)
{
    std::string out;
    append_base64_lines(out, bytes);
    return out;
}

std::string all_octets(std::size_t size)
{
    std::string result;
    for (std::size_t i = 0; i < size; ++i)
        result += static_cast<char>(i * 7 + i / 256);
    return result;
}

TEST(Base64, EncodesTheTestVectorsOfRfc4648)
{
    EXPECT_EQ(encoded(""), "");
    EXPECT_EQ(encoded("f"), "Zg==");
    EXPECT_EQ(encoded("fo"), "Zm8=");
    EXPECT_EQ(encoded("foo"), "Zm9v");
    EXPECT_EQ(encoded("foob"), "Zm9vYg==");
    EXPECT_EQ(encoded("fooba"), "Zm9vYmE=");
    EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
    EXPECT_EQ(encoded("\xFB\xFF\xFE"), "+//+");
}

TEST(Base64, FillsLinesOf76CharactersAndEndsEachOne)
{
    EXPECT_EQ(base64_lines(""), "");
    EXPECT_EQ(base64_lines("foo"), "Zm9v\r\n");
    const std::string line(76, 'A');
    const std::string zeros(200, '\0');
    EXPECT_EQ(base64_lines(std::string_view(zeros).substr(0, 57)), line + "\r\n");
    EXPECT_EQ(base64_lines(std::string_view(zeros).substr(0, 58)), line + "\r\nAA==\r\n");
    EXPECT_EQ(base64_lines(std::string_view(zeros).substr(0, 114)), line + "\r\n" + line + "\r\n");
}

TEST(Base64, KnowsTheSizeOfItsLinesBeforeItWritesThem)
{
    for (std::size_t size = 0; size < 400; ++size)
        ASSERT_EQ(base64_lines(all_octets(size)).size(), base64_lines_size(size)) << size;
}

TEST(Base64, KnowsTheSizeOfWhatDoesNotFitIntoMemory)
{
    EXPECT_EQ(base64_lines_size(57ULL << 40), 78ULL << 40);
}

TEST(Base64, EncodesSlicesOfWholeLinesAsIfTheyWereOne)
{
    const std::string bytes = all_octets(5 * slice_unit + 13);
    for (std::size_t slice = slice_unit; slice <= 4 * slice_unit; slice += slice_unit) {
        std::string out;
        for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(std::min(slice, rest.size())))
            append_base64_lines(out, rest.substr(0, slice));
        EXPECT_EQ(out, base64_lines(bytes)) << slice;
    }
}

} // namespace
} // namespace mailroom::mime
