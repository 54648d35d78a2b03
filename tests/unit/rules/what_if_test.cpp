#include "service/rules/what_if.hpp"
#include "tests/unit/rules/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::rules {
namespace {

using testing::IsEmpty;

std::vector<Difference> compared(const samples::World& before, const samples::World& after,
                                 const std::vector<Waiting>& waiting = {})
{
    return what_if({before.settings, before.knowledge}, {after.settings, after.knowledge}, waiting);
}

std::vector<std::string> names_in(const std::vector<Difference>& differences)
{
    std::vector<std::string> names;
    for (const Difference& one : differences)
        names.push_back(one.kind == Subject::Kind::general ? "mobile" : one.code);
    return names;
}

TEST(WhatIf, NothingDiffersWhereNothingOfASenderChanged)
{
    samples::World after = samples::world();
    after.anna().name = "Anna Berg";
    after.settings.version = 99;
    EXPECT_THAT(compared(samples::world(), after), IsEmpty());
}

TEST(WhatIf, AUsersOwnSettingChangesThatUserOnly)
{
    samples::World after = samples::world();
    after.anna().from = "Anna <a@other.example>";
    const auto found = compared(samples::world(), after);
    ASSERT_EQ(names_in(found), std::vector<std::string>{"ANNA"});
    EXPECT_EQ(found[0].before.from, "anna@erp.example");
    EXPECT_EQ(found[0].after.from, "Anna <a@other.example>");
    EXPECT_EQ(found[0].after.sender, "anna@erp.example");
    EXPECT_EQ(found[0].after.mode, "smtp");
    EXPECT_EQ(found[0].after.table_row, "S12");
}

TEST(WhatIf, TheSharedServerChangesAllWhoUseIt)
{
    samples::World after = samples::world();
    after.general().server = samples::server("new.example", 2525);
    const auto found = compared(samples::world(), after);
    EXPECT_EQ(names_in(found), (std::vector<std::string>{"mobile", "ANNA", "INV", "DUN"}));
    for (const Difference& one : found)
        EXPECT_EQ(one.after.server, "new.example:2525");
}

TEST(WhatIf, APasswordThatIsGoneShowsAsTheHoldThatFollows)
{
    samples::World after = samples::world();
    after.general().password.reset();
    const auto found = compared(samples::world(), after);
    ASSERT_EQ(names_in(found), (std::vector<std::string>{"mobile", "INV", "DUN"}));
    EXPECT_EQ(found[1].after.hold, "config_incomplete(general: Password)");
    EXPECT_EQ(found[1].after.account, "");
}

TEST(WhatIf, WhoIsMadeOrDeletedWasOrWillBeNobody)
{
    samples::World before = samples::world();
    samples::World after = samples::world();
    before.settings.users.clear();
    before.settings.user_ids.clear();
    after.settings.rows.clear();
    const auto found = compared(before, after);
    ASSERT_EQ(names_in(found), (std::vector<std::string>{"ANNA", "INV"}));
    EXPECT_EQ(found[0].before.hold, "not there");
    EXPECT_EQ(found[0].after.hold, "");
    EXPECT_EQ(found[1].after.hold, "not there");
}

TEST(WhatIf, ADocumentThatLosesItsAddressIsStandardMailOfWhoeverPostsIt)
{
    samples::World after = samples::world();
    after.row().from = " ";
    const auto found = compared(samples::world(), after);
    ASSERT_EQ(names_in(found), std::vector<std::string>{"INV"});
    EXPECT_EQ(found[0].after.table_row, "M1");
    EXPECT_EQ(found[0].after.mode, "");
}

TEST(WhatIf, AnOutlookDocumentLeavesOpenWhosePostsIt)
{
    samples::World after = samples::world();
    after.model().mode = LinkMode::outlook;
    const auto found = compared(samples::world(), after);
    ASSERT_EQ(names_in(found), std::vector<std::string>{"DUN"});
    EXPECT_EQ(found[0].after.mode, "outlook");
    EXPECT_EQ(found[0].after.from, "dunning@erp.example");
    EXPECT_EQ(found[0].after.hold, "");
}

TEST(WhatIf, MessagesCountForWhoseTheyAreByTheirCategory)
{
    samples::World after = samples::world();
    after.general().server = samples::server("new.example");
    Facts by_id;
    by_id.user = samples::anna_id;
    Facts by_code;
    by_code.user_code = " ANNA ";
    Facts blank_form; // a standard message of hers
    blank_form.user = samples::anna_id;
    blank_form.row = samples::row_id;
    const auto found =
        compared(samples::world(), after,
                 {{by_id, 3}, {by_code, 4}, {blank_form, 10}, {samples::mass(), 100}, {samples::mobile(), 1000}});
    ASSERT_EQ(names_in(found), (std::vector<std::string>{"mobile", "ANNA", "INV", "DUN"}));
    EXPECT_EQ(found[0].waiting, 1000);
    EXPECT_EQ(found[1].waiting, 17);
    EXPECT_EQ(found[2].waiting, 100);
    EXPECT_EQ(found[3].waiting, 0);
}

TEST(WhatIf, WhatIsKnownOfAnAccountDecidesToo)
{
    samples::World after = samples::world();
    samples::World before = samples::world();
    before.knowledge.refused_logins.emplace(Owner::user(samples::anna_id), HoldReason::auth_failed);
    const auto found = compared(before, after);
    ASSERT_EQ(names_in(found), std::vector<std::string>{"ANNA"});
    EXPECT_EQ(found[0].before.hold, "auth_failed(user ANNA)");
}

TEST(WhatIf, TheSameOnBothSidesNeverDiffers)
{
    for (const Mode mode : {Mode::not_configured, Mode::outlook, Mode::office365, Mode::smtp, Mode::other_client}) {
        samples::World world = samples::world();
        world.anna().mode = mode;
        world.row().mode = LinkMode::outlook;
        EXPECT_THAT(compared(world, world, {{samples::mass(), 5}}), IsEmpty());
    }
}

} // namespace
} // namespace mailroom::rules
