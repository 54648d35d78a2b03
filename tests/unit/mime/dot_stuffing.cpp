#include "transport/mime/dot_stuffing.hpp"

#include <gtest/gtest.h>

namespace mailroom::mime {
namespace {

std::string stuffed(std::string_view lines)
{
    std::string out;
    append_dot_stuffed(out, lines);
    return out;
}

TEST(DotStuffing, DoublesTheDotThatStartsALine)
{
    EXPECT_EQ(stuffed(".\r\n"), "..\r\n");
    EXPECT_EQ(stuffed("..\r\n"), "...\r\n");
    EXPECT_EQ(stuffed("a\r\n.b\r\n\r\n.\r\n"), "a\r\n..b\r\n\r\n..\r\n");
}

TEST(DotStuffing, LeavesOtherDotsAlone)
{
    EXPECT_EQ(stuffed("a.b\r\n ...\r\nc.\r\n"), "a.b\r\n ...\r\nc.\r\n");
    EXPECT_EQ(stuffed(""), "");
}

TEST(DotStuffing, AppendsBehindWhatIsThere)
{
    std::string out = "MAIL\r\n";
    append_dot_stuffed(out, ".x\r\n");
    EXPECT_EQ(out, "MAIL\r\n..x\r\n");
}

TEST(DotStuffing, StuffsBehindALoneLineFeedThatALaxServerTakesForALineEnd)
{
    EXPECT_EQ(stuffed("a\n.\r\nMAIL FROM:<evil@example.com>\r\n"), "a\n..\r\nMAIL FROM:<evil@example.com>\r\n");
}

TEST(DotStuffing, IsNeededOnlyWhereItChangesSomething)
{
    for (const std::string_view lines :
         {"", "\r\n", "a\r\n", "a.\r\n", ".\r\n", "a\r\n.", "a\r\n\r\n.x\r\n", "a..b\r\n", "\r\n\r\n"})
        EXPECT_EQ(needs_dot_stuffing(lines), stuffed(lines) != lines) << lines;
    EXPECT_TRUE(needs_dot_stuffing(".\r\n"));
    EXPECT_FALSE(needs_dot_stuffing("x.\r\n"));
}

TEST(DotStuffing, IsUndoneByTakingOneDotOffEachLineThatStartsWithOne)
{
    const std::string original = ".\r\n..\r\n...a\r\nb.\r\n\r\n.c\r\n";
    std::string undone;
    std::string_view rest = original;
    const std::string wire = stuffed(original);
    rest = wire;
    while (!rest.empty()) {
        const auto end = rest.find("\r\n") + 2;
        EXPECT_NE(rest.substr(0, end), ".\r\n");
        undone += rest.substr(rest.front() == '.' ? 1 : 0, end - (rest.front() == '.' ? 1 : 0));
        rest.remove_prefix(end);
    }
    EXPECT_EQ(undone, original);
}

} // namespace
} // namespace mailroom::mime
