#include "config/port.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace mailroom {
namespace {

TEST(Port, IsOneTo65535)
{
    EXPECT_EQ(Port::make(1).value().number(), 1);
    EXPECT_EQ(Port::make(65535).value().number(), 65535);
    for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{65536}, std::int64_t{65536 + 25},
                                   std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()})
        EXPECT_FALSE(Port::make(bad)) << bad;
}

TEST(Port, SaysWhichNumberIsNone)
{
    EXPECT_EQ(Port::make(70000).error().text, "70000 is not a port (1 to 65535)");
}

TEST(Port, IsOrderedByItsNumber)
{
    EXPECT_LT(*Port::make(25), *Port::make(587));
    EXPECT_EQ(*Port::make(25), *Port::make(25));
}

} // namespace
} // namespace mailroom
