#include "config/secret.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <ostream>
#include <type_traits>

namespace mailroom {
namespace {

template <class T>
concept Printable = requires(std::ostream& out, const T& value)
{
    out << value;
};

TEST(Secret, CannotBePrintedComparedOrTurnedIntoTextByAccident)
{
    static_assert(!Printable<Secret>);
    static_assert(!std::equality_comparable<Secret>);
    static_assert(!std::is_convertible_v<Secret, std::string>);
    static_assert(!std::is_convertible_v<Secret, std::string_view>);
    static_assert(!std::is_convertible_v<std::string, Secret>);
}

TEST(Secret, IsRevealedToTheOneWhoAsks)
{
    EXPECT_EQ(Secret("pa55").reveal(), "pa55");
    EXPECT_TRUE(Secret().empty());
    EXPECT_FALSE(Secret("x").empty());
}

TEST(Secret, LeavesNothingBehindWhereItWasMovedFrom)
{
    for (const std::string& text :
         {std::string("short"), std::string(100, 'p')}) { // inside the object, and on the heap
        Secret from(text);
        const Secret to(std::move(from));
        EXPECT_EQ(to.reveal(), text);
        EXPECT_TRUE(from.empty()); // NOLINT(bugprone-use-after-move): that is what is tested
        Secret source(text);
        Secret target("former");
        target = std::move(source);
        EXPECT_EQ(target.reveal(), text);
        EXPECT_TRUE(source.empty()); // NOLINT(bugprone-use-after-move)
    }
}

TEST(Secret, IsACopyOfItsOwn)
{
    const Secret original("pa55");
    Secret copy("another, longer than the original, and than a string holds in itself");
    copy = original;
    EXPECT_EQ(copy.reveal(), "pa55");
    EXPECT_EQ(original.reveal(), "pa55");
    Secret& same = copy;
    copy = same;
    EXPECT_EQ(copy.reveal(), "pa55");
    copy = std::move(same);
    EXPECT_EQ(copy.reveal(), "pa55");
}

TEST(Wipe, OverwritesTheOctetsAlsoThoseThatALongerValueLeft)
{
    for (const std::size_t size : {5U, 200U}) { // inside the object, and on the heap
        std::string text(size, 'p');
        text.resize(3);
        const char* octets = text.data();
        const std::size_t capacity = text.capacity();
        wipe(text);
        EXPECT_TRUE(text.empty());
        ASSERT_EQ(text.data(), octets); // what is looked at is still the string's
        EXPECT_EQ(std::count(octets, octets + capacity, '\0'), static_cast<std::ptrdiff_t>(capacity));
    }
}

} // namespace
} // namespace mailroom
