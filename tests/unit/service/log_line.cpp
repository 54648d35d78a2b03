#include "service/log/line.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace mailroom::log {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const auto noon =
    std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + std::chrono::hours(12) + std::chrono::microseconds(7'999);
const Fields nothing;

Fields outcome()
{
    return {{"uid", "0b7e"},
            {"row", "S11"},
            {"from", R"(Anna "A" Škoda <anna@example.com>)"},
            {"recipients", 3},
            {"note", ""}};
}

std::string text_with(const std::string& value)
{
    const Fields fields{{"reply", value}};
    return as_text({noon, LogLevel::info, "sent", {}, fields});
}

TEST(LogLine, IsReadableAndTellsItsTimeLevelAndId)
{
    EXPECT_EQ(as_text({noon, LogLevel::warning, "stop_limit", "the stop limit is over", nothing}),
              "2026-12-01T12:00:00.007Z warning stop_limit: the stop limit is over\n");
}

TEST(LogLine, HasItsFieldsBehindItsText)
{
    const Fields fields = outcome();
    EXPECT_EQ(as_text({noon, LogLevel::info, "sent", {}, fields}),
              "2026-12-01T12:00:00.007Z info sent: uid=0b7e row=S11 from=\"Anna \\\"A\\\" Škoda <anna@example.com>\" "
              "recipients=3 note=\"\"\n");
    EXPECT_THAT(as_text({noon, LogLevel::info, "held", "why", fields}), HasSubstr(" info held: why uid=0b7e "));
}

TEST(LogLine, QuotesAValueThatCouldBeTakenForAnotherField)
{
    EXPECT_THAT(text_with("250 ok account=other"), HasSubstr(R"(reply="250 ok account=other")"));
    EXPECT_THAT(text_with("a=b"), HasSubstr(R"(reply="a=b")"));
    EXPECT_THAT(text_with(R"(x" account="other)"), HasSubstr(R"(reply="x\" account=\"other")"));
    EXPECT_THAT(text_with(R"(ends in \ )"), HasSubstr(R"(reply="ends in \\ ")"));
}

TEST(LogLine, IsAnObjectOfJsonWithNumbersAsNumbers)
{
    const Fields fields = outcome();
    EXPECT_EQ(as_json({noon, LogLevel::info, "sent", {}, fields}),
              R"({"time":"2026-12-01T12:00:00.007Z","level":"info","id":"sent","uid":"0b7e","row":"S11",)"
              R"("from":"Anna \"A\" Škoda <anna@example.com>","recipients":3,"note":""})"
              "\n");
    EXPECT_THAT(as_json({noon, LogLevel::error, "not_serving", "why", nothing}),
                HasSubstr(R"("level":"error","id":"not_serving","text":"why"})"));
}

TEST(LogLine, IsAnEntryOfTheJournalWithItsFields)
{
    const Fields fields{{"uid", "0b7e"}, {"waited_ms", 12}};
    EXPECT_EQ(as_journal({noon, LogLevel::error, "sent", "x", fields}),
              "MESSAGE=sent: x uid=0b7e waited_ms=12\nPRIORITY=3\nSYSLOG_IDENTIFIER=mailroom\nMAILROOM_EVENT=sent\n"
              "MAILROOM_UID=0b7e\nMAILROOM_WAITED_MS=12\n");
    EXPECT_THAT(as_journal({noon, LogLevel::warning, "a", "b", nothing}), HasSubstr("\nPRIORITY=4\n"));
    EXPECT_THAT(as_journal({noon, LogLevel::debug, "a", "b", nothing}), HasSubstr("\nPRIORITY=7\n"));
}

// A server's words want to begin a line of their own, hide, or turn what follows around.
const std::string hostile = "250 ok\r\n2026-12-01T12:00:00.000Z info sent: uid=forged\x1B[2J\xE2\x80\xAEtxet\xFF";
const std::string harmless = "250 ok  2026-12-01T12:00:00.000Z info sent: uid=forged?[2J?txet?";

class HostileText : public testing::TestWithParam<std::string (*)(const Line&)> {};

TEST_P(HostileText, IsOneHarmlessLineInEveryForm)
{
    const auto form = GetParam();
    const Fields fields{{"reply", hostile}};
    const std::string with_field = form({noon, LogLevel::info, "sent", {}, fields});
    const std::string with_text = form({noon, LogLevel::info, "sent", hostile, nothing});
    for (const auto& line : {with_field, with_text}) {
        EXPECT_THAT(line, AllOf(HasSubstr(harmless), Not(HasSubstr("\x1B")), Not(HasSubstr("\xE2\x80\xAE")),
                                Not(HasSubstr("\r"))));
    }
    const Fields plain{{"reply", "ok"}};
    const auto line_ends = [](const std::string& text) { return std::ranges::count(text, '\n'); };
    EXPECT_EQ(line_ends(with_field), line_ends(form({noon, LogLevel::info, "sent", {}, plain})));
    EXPECT_EQ(line_ends(with_text), line_ends(form({noon, LogLevel::info, "sent", "ok", nothing})));
}

INSTANTIATE_TEST_SUITE_P(All, HostileText, testing::Values(as_text, as_json, as_journal));

TEST(LogLine, IsJsonWhateverTheTextIs)
{
    std::string octets;
    for (int octet = 0; octet < 256; ++octet)
        octets += static_cast<char>(octet);
    const Fields fields{{"reply", octets}};
    const auto line = boost::json::parse(as_json({noon, LogLevel::info, "sent", octets, fields}));
    EXPECT_EQ(line.at("reply"), line.at("text"));
    EXPECT_EQ(line.at("reply").as_string().size(), 256U);
}

TEST(LogLine, HasALimit)
{
    const std::string long_text(100'000, 'x');
    const Fields fields{{"reply", long_text}};
    EXPECT_EQ(std::ranges::count(as_text({noon, LogLevel::info, "sent", {}, fields}), 'x'), max_value);
    EXPECT_EQ(std::ranges::count(as_text({noon, LogLevel::info, "sent", long_text, nothing}), 'x'), max_text);
}

} // namespace
} // namespace mailroom::log
