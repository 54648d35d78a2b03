#include "queue/pg/result.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace mailroom::pg {
namespace {

TEST(Params, KeepTheirOrder)
{
    const Params params = Params().text("a").number(1).null();
    ASSERT_EQ(params.values().size(), 3U);
    EXPECT_EQ(params.values()[0].octets, "a");
    EXPECT_EQ(params.values()[1].octets, "1");
    EXPECT_TRUE(params.values()[2].is_null);
}

TEST(Params, TellAnEmptyTextFromNull)
{
    const Params params = Params().text("").text_or_null("").text_or_null("x");
    EXPECT_FALSE(params.values()[0].is_null);
    EXPECT_TRUE(params.values()[1].is_null);
    EXPECT_FALSE(params.values()[2].is_null);
    EXPECT_EQ(params.values()[2].octets, "x");
}

TEST(Params, WriteNumbersAndTruthsAsPostgresqlReadsThem)
{
    const Params params = Params()
                              .number(std::numeric_limits<std::int64_t>::min())
                              .number(std::numeric_limits<std::int64_t>::max())
                              .truth(true)
                              .truth(false);
    EXPECT_EQ(params.values()[0].octets, "-9223372036854775808");
    EXPECT_EQ(params.values()[1].octets, "9223372036854775807");
    EXPECT_EQ(params.values()[2].octets, "t");
    EXPECT_EQ(params.values()[3].octets, "f");
}

TEST(Params, SendBytesAsTheyAre)
{
    const std::vector<std::uint8_t> bytes{0, 255, '\\', '\'', 0};
    const Params params = Params().bytes(bytes).text("x");
    EXPECT_TRUE(params.values()[0].is_binary);
    EXPECT_EQ(params.values()[0].octets, std::string("\0\xFF\\'\0", 5));
    EXPECT_FALSE(params.values()[1].is_binary);
}

TEST(Params, WriteAnArrayOfNumbers)
{
    EXPECT_EQ(Params().numbers(std::vector<std::int64_t>{}).values()[0].octets, "{}");
    EXPECT_EQ(Params().numbers(std::vector<std::int64_t>{7}).values()[0].octets, "{7}");
    EXPECT_EQ(Params().numbers(std::vector<std::int64_t>{1, -2, 3}).values()[0].octets, "{1,-2,3}");
}

TEST(DatabaseError, IsExplainedWithDetailAndHintOnLinesOfTheirOwn)
{
    EXPECT_EQ(explain({DbError::Kind::refused, "no", "23505", "why", "do this"}), "no\n  why\n  do this");
    EXPECT_EQ(explain({DbError::Kind::lost, "gone", {}, {}, {}}), "gone");
    // Ours is for programs.
    EXPECT_EQ(explain({DbError::Kind::refused, "no", "MR001", R"([{"field": "to"}])", "do this"}), "no\n  do this");
}

TEST(DatabaseError, TellsARefusalFromALostConnection)
{
    EXPECT_FALSE((DbError{DbError::Kind::refused, {}, {}, {}, {}}).connection_is_gone());
    for (const auto kind :
         {DbError::Kind::unreachable, DbError::Kind::lost, DbError::Kind::timed_out, DbError::Kind::stopped})
        EXPECT_TRUE((DbError{kind, {}, {}, {}, {}}).connection_is_gone());
}

} // namespace
} // namespace mailroom::pg
