#include "service/rules/doubt.hpp"

#include <gtest/gtest.h>

namespace mailroom::rules {
namespace {

using std::chrono::minutes;

ServiceFile::Doubt settings()
{
    ServiceFile::Doubt doubt;
    doubt.resend_after = minutes(15);
    return doubt;
}

TEST(DoubtRules, AreTheSameForAllWhereNothingElseIsSaid)
{
    const DoubtRules rules(settings());
    EXPECT_EQ(rules.resend_after(Category::standard, "anna@example.com"), minutes(15));
    EXPECT_EQ(rules.resend_after(Category::mobile), minutes(15));
}

TEST(DoubtRules, OfACategoryGoBeforeTheGeneralOneAndOfAnAccountBeforeBoth)
{
    ServiceFile::Doubt doubt = settings();
    doubt.categories[Category::mass] = {DoubtPolicy::hold, minutes(15)};
    doubt.accounts["billing@example.com"] = {DoubtPolicy::resend_once, minutes(60)};
    const DoubtRules rules(doubt);
    EXPECT_EQ(rules.resend_after(Category::standard, "anna@example.com"), minutes(15));
    EXPECT_EQ(rules.resend_after(Category::mass, "anna@example.com"), std::nullopt);
    EXPECT_EQ(rules.resend_after(Category::mass, "Billing@Example.com"), minutes(60));
}

TEST(DoubtRules, TheStrictestHoldsWhereTheAccountIsNotKnown)
{
    ServiceFile::Doubt doubt = settings();
    doubt.accounts["slow@example.com"] = {DoubtPolicy::resend_once, minutes(60)};
    EXPECT_EQ(DoubtRules(doubt).resend_after(Category::standard), minutes(60));
    doubt.accounts["careful@example.com"] = {DoubtPolicy::hold, minutes(1)};
    EXPECT_EQ(DoubtRules(doubt).resend_after(Category::standard), std::nullopt);
}

TEST(DoubtRules, ToLookIsToHoldWhereNobodyCanLook)
{
    ServiceFile::Doubt doubt = settings();
    doubt.policy = DoubtPolicy::look_up;
    EXPECT_EQ(DoubtRules(doubt).resend_after(Category::standard, "anna"), std::nullopt);
}

} // namespace
} // namespace mailroom::rules
