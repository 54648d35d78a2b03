#include "service/test_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::test_mail {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

const Trace::Clock::time_point start{};

Trace trace_that_hangs_at(Stage stage)
{
    Trace trace;
    trace.begin(Stage::resolve, start);
    trace.end("192.0.2.1", start + 3ms);
    trace.begin(stage, start + 5ms);
    return trace;
}

TEST(TestReport, AStepThatDidNotEndTookUntilTheEndAndSaysWhy)
{
    const auto steps = steps_of(trace_that_hangs_at(Stage::auth), "no answer", start + 1'005ms);
    ASSERT_EQ(steps.size(), 2U);
    EXPECT_EQ(steps[0].name, "name resolution");
    EXPECT_EQ(steps[0].took, 3ms);
    EXPECT_EQ(steps[0].words, "192.0.2.1");
    EXPECT_EQ(steps[1].name, "login");
    EXPECT_EQ(steps[1].took, 1'000ms);
    EXPECT_EQ(steps[1].words, "no answer");
}

TEST(Trace, KnowsTheStepThatHasNotEndedAndKeepsAsManyAsItsLimit)
{
    Trace trace = trace_that_hangs_at(Stage::connect);
    ASSERT_NE(trace.open(), nullptr);
    EXPECT_EQ(trace.open()->stage, Stage::connect);
    trace.end("192.0.2.1 port 587");
    EXPECT_EQ(trace.open(), nullptr);
    trace.end("twice");
    EXPECT_EQ(trace.steps.back().words, "192.0.2.1 port 587");
    for (std::size_t i = 0; i < 2 * Trace::max_steps; ++i)
        trace.begin(Stage::rcpt_to);
    EXPECT_EQ(trace.steps.size(), Trace::max_steps);
}

TEST(TestReport, SaysAcceptedByTheServerAndNeverDelivered)
{
    Report report;
    report.outcome = "accepted";
    report.server = "mail.example.test:587";
    report.words = "250 2.0.0 taken";
    EXPECT_THAT(to_lines(report), HasSubstr("accepted by mail.example.test:587: 250 2.0.0 taken"));
    EXPECT_THAT(to_lines(report), Not(HasSubstr("delivered")));
}

TEST(TestReport, OfAFailureNamesTheStepTheWordsAndWhatToDo)
{
    Report report;
    report.outcome = "refused";
    report.failed_at = "login";
    report.words = "535 5.7.8 wrong";
    report.what_to_do = "enter the right password";
    EXPECT_THAT(to_lines(report), HasSubstr("not accepted, at login: 535 5.7.8 wrong"));
    EXPECT_THAT(to_lines(report), HasSubstr("enter the right password"));
}

} // namespace
} // namespace mailroom::test_mail
