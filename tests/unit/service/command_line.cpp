#include "service/command_line/completion.hpp"
#include "service/command_line/manual.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::command_line {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Argument option(std::string name, std::string value = "")
{
    Argument argument;
    argument.names = {std::move(name)};
    argument.value = std::move(value);
    argument.description = "What it does";
    return argument;
}

Command command(std::string name, std::vector<Argument> options)
{
    Command one;
    one.name = std::move(name);
    one.description = "Does it";
    one.options = std::move(options);
    return one;
}

TEST(ManualText, IsNeverTakenForARequestOrAnEscape)
{
    EXPECT_EQ(troff(".so /etc/passwd\n'br\n\\n(.x a.b"), "\\&.so /etc/passwd\n\\(aqbr\n\\(rsn(.x a.b");
}

TEST(ManualText, ShowsOptionsAndQuotesAsTheyAreTyped)
{
    EXPECT_EQ(troff("--to \"a\""), "\\-\\-to \\(dqa\\(dq");
    EXPECT_EQ(troff("as `mailroom queue` says"), "as \\fBmailroom queue\\fR says");
}

TEST(Manual, TellsOnceWhatSeveralCommandsHaveInCommon)
{
    Argument filter = option("--user", "TEXT");
    filter.group = "Filter";
    Command root = command("mailroom", {option("--json")});
    root.commands = {command("mailroom retry", {filter, option("--json")}), command("mailroom hold", {filter})};
    const std::string page = manual(root, "1.0");
    EXPECT_THAT(page, HasSubstr("\\fIFilter\\fR: as for \\fBmailroom retry\\fR."));
    EXPECT_EQ(page.find("\\fB\\-\\-user\\fR"), page.rfind("\\fB\\-\\-user\\fR"));
    EXPECT_EQ(page.find("\\fB\\-\\-json\\fR"), page.rfind("\\fB\\-\\-json\\fR")) << "a common option stands at the top";
}

TEST(Completion, KnowsWhatAnOptionTakes)
{
    Argument kind = option("--kind", "TEXT");
    kind.choices = {"user", "general"};
    Command root = command("mailroom", {option("--json"), option("--config", "FILE"), option("--batch", "TEXT"), kind});
    const std::string script = bash_completion(root);
    EXPECT_THAT(script, AllOf(HasSubstr("['mailroom --config']='@file'"), HasSubstr("['mailroom --batch']='@any'"),
                              HasSubstr("['mailroom --kind']='user general'"), Not(HasSubstr("['mailroom --json']"))));
}

} // namespace
} // namespace mailroom::command_line
