#include "service/rules/classify.hpp"

#include <gtest/gtest.h>

namespace mailroom::rules {
namespace {

TEST(Classify, MobileWhateverElseItCarries)
{
    Facts facts;
    facts.source = Source::mobile;
    facts.user = 1;
    facts.row = 2;
    facts.addressed = true;
    EXPECT_EQ(classify(facts), Category::mobile);
}

TEST(Classify, ARowWithAnAddressMakesAMassMailing)
{
    Facts facts;
    facts.row = 2;
    facts.addressed = true;
    EXPECT_EQ(classify(facts), Category::mass);
}

TEST(Classify, AModelWithAnAddressMakesADispatch)
{
    Facts facts;
    facts.model = 2;
    facts.addressed = true;
    EXPECT_EQ(classify(facts), Category::dispatch);
}

TEST(Classify, ABlankAddressWhenEnqueuedMakesAStandardMessage)
{
    Facts row;
    row.row = 2;
    EXPECT_EQ(classify(row), Category::standard);
    Facts model;
    model.model = 2;
    EXPECT_EQ(classify(model), Category::standard);
    EXPECT_EQ(classify(Facts{}), Category::standard);
}

} // namespace
} // namespace mailroom::rules
