#include "service/rules/hold.hpp"
#include "service/rules/labels.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace mailroom::rules {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Subject general(std::string_view field = {})
{
    return {Subject::Kind::general, 0, {}, std::string(field)};
}

Subject anna(std::string_view field = {})
{
    return {Subject::Kind::user, 12, "ANNA", std::string(field)};
}

Subject unknown_user(std::string code)
{
    return {Subject::Kind::user, 0, std::move(code), "unknown"};
}

Subject row(std::string_view field = {})
{
    return {Subject::Kind::row, 3, "INV", std::string(field)};
}

std::vector<HoldReason> all_reasons()
{
    std::vector<HoldReason> reasons;
    for (int i = 0; i <= static_cast<int>(HoldReason::quarantined); ++i)
        reasons.push_back(static_cast<HoldReason>(i));
    return reasons;
}

TEST(Hold, NamesItsReasonsApart)
{
    std::set<std::string_view> names;
    for (const HoldReason reason : all_reasons())
        names.insert(to_string(reason));
    EXPECT_EQ(names.size(), all_reasons().size());
    EXPECT_FALSE(names.contains("?"));
}

TEST(Hold, DescribesReasonAndSubjects)
{
    EXPECT_EQ(describe(Hold{HoldReason::config_incomplete, {anna(label::password), general(label::server)}}),
              "config_incomplete(user ANNA: Password; general: Server Name)");
    EXPECT_EQ(describe(Hold{HoldReason::auth_failed, {general()}}), "auth_failed(general)");
}

TEST(Hold, ShowsTheNumberOfWhatHasNoCodeAnyMore)
{
    EXPECT_EQ(describe(Subject{Subject::Kind::row, 3, {}, {}}), "row no. 3");
}

TEST(Hold, SaysForEveryReasonWhatToDo)
{
    for (const HoldReason reason : all_reasons()) {
        const std::string text = remedy(Hold{reason, {anna("x")}});
        EXPECT_TRUE(text.ends_with(".")) << to_string(reason);
        EXPECT_GT(text.size(), 20U) << to_string(reason);
    }
}

TEST(Remedy, OfMissingFieldsNamesEachOwnersFieldsAndCommands)
{
    const Hold hold{HoldReason::config_incomplete,
                    {general(label::server), anna(label::login), anna(label::password), row(label::row_from)}};
    EXPECT_EQ(remedy(hold),
              "An administrator must fill in Server Name of general (mailroom account set general server=...) and "
              "User, Password of user ANNA (mailroom account set user ANNA account=...; mailroom account password "
              "user ANNA) and Email Account for Sending of row INV.");
}

TEST(Remedy, QuotesACodeWithABlank)
{
    Subject subject = anna(label::password);
    subject.code = "ANNA B";
    EXPECT_THAT(remedy(Hold{HoldReason::config_incomplete, {subject}}),
                HasSubstr("mailroom account password user \"ANNA B\""));
}

TEST(Remedy, OfARefusedLoginNamesThePasswordAndTheProbe)
{
    EXPECT_THAT(remedy(Hold{HoldReason::auth_failed, {general()}}),
                AllOf(HasSubstr("mailroom account password general"), HasSubstr("mailroom account probe general")));
    EXPECT_THAT(remedy(Hold{HoldReason::auth_failed, {anna()}}), HasSubstr("mailroom account probe user ANNA"));
}

TEST(Remedy, OfTheEndOfBasicLoginAdvisesNoNewPassword)
{
    EXPECT_THAT(remedy(Hold{HoldReason::basic_login_ended, {anna()}}),
                AllOf(HasSubstr("a new one does not help"), HasSubstr("mailroom account set user ANNA mode=office365"),
                      Not(HasSubstr("account password"))));
}

TEST(Remedy, OfClearTextNamesTheServerThatIsMeant)
{
    EXPECT_THAT(remedy(Hold{HoldReason::cleartext_password, {general(label::use_ssl)}}),
                HasSubstr("mailroom account set general use_ssl=yes"));
    EXPECT_THAT(remedy(Hold{HoldReason::cleartext_password, {general(label::users_use_ssl)}}),
                HasSubstr("mailroom account set general user_use_ssl=yes"));
}

TEST(Remedy, OfAModeNamesWhereToChooseIt)
{
    EXPECT_THAT(remedy(Hold{HoldReason::mode_not_configured, {general(label::default_mode)}}),
                HasSubstr("mailroom account set general default_user_mode=..."));
    EXPECT_EQ(remedy(Hold{HoldReason::mode_not_configured, {row(label::mode)}}),
              "An administrator must choose the Mailing Mode of row INV.");
}

TEST(Remedy, OfAMissingUserDependsOnWhetherThereIsOne)
{
    EXPECT_THAT(remedy(Hold{HoldReason::no_user, {anna("disabled")}}), HasSubstr("enable user ANNA"));
    EXPECT_THAT(remedy(Hold{HoldReason::no_user, {unknown_user("BORIS")}}), HasSubstr("create user BORIS"));
    EXPECT_THAT(remedy(Hold{HoldReason::no_user, {unknown_user("")}}), HasSubstr("An operator must name the user"));
}

TEST(Place, IsOneForReasonAndSubjects)
{
    EXPECT_EQ(place_key(Hold{HoldReason::config_incomplete, {anna(label::password), general(label::server)}}),
              "config_incomplete|user 12:Password|general:Server Name");
    EXPECT_EQ(place_key(Hold{HoldReason::auth_failed, {general()}}), "auth_failed|general");
}

TEST(Place, StaysWhenTheUserIsRenamed)
{
    Subject renamed = anna();
    renamed.code = "ANNABEL";
    EXPECT_EQ(place_key(Hold{HoldReason::auth_failed, {renamed}}), place_key(Hold{HoldReason::auth_failed, {anna()}}));
}

TEST(Place, TellsUnknownUsersApartByCodeAndFromKnownOnes)
{
    const auto key = [](Subject subject) { return place_key(Hold{HoldReason::no_user, {std::move(subject)}}); };
    EXPECT_NE(key(unknown_user("BORIS")), key(unknown_user("CLARA")));
    Subject known = anna("unknown");
    EXPECT_NE(key(unknown_user("12")), key(known));
}

TEST(Place, CannotBeForgedByTextWithSeparators)
{
    const Hold one{HoldReason::config_incomplete, {anna("a|general:b")}};
    const Hold two{HoldReason::config_incomplete, {anna("a"), general("b")}};
    EXPECT_NE(place_key(one), place_key(two));
}

TEST(Owners, AreEachSubjectOnce)
{
    const Subject model{Subject::Kind::model, 7, "DUN", {}};
    EXPECT_THAT(
        owners(Hold{HoldReason::config_incomplete,
                    {general(label::server), general(label::password), anna(), row(), model, anna(label::from)}}),
        ElementsAre("general", "user:12", "row:3", "model:7"));
}

TEST(Owners, OfAnUnknownUserAreItsCode)
{
    EXPECT_THAT(owners(Hold{HoldReason::no_user, {unknown_user("BORIS")}}), ElementsAre("user-code:BORIS"));
    EXPECT_THAT(owners(Hold{HoldReason::no_user, {unknown_user("")}}), IsEmpty());
}

TEST(Owners, OfAMessageAreNone)
{
    EXPECT_THAT(owners(Hold{HoldReason::in_doubt, {Subject{Subject::Kind::message, 0, {}, {}}}}), IsEmpty());
}

TEST(Hold, EndsWithSettingsUnlessAnOperatorMustDecide)
{
    for (const HoldReason reason : all_reasons()) {
        const bool operators = reason == HoldReason::copied_from || reason == HoldReason::identity_changed ||
                               reason == HoldReason::in_doubt || reason == HoldReason::quarantined;
        EXPECT_EQ(ends_with_settings(reason), !operators) << to_string(reason);
    }
}

} // namespace
} // namespace mailroom::rules
