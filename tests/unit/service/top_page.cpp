// The page of `mailroom top`, and how it is cut to a terminal.
#include "service/top_page.hpp"

#include "service/host/terminal.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace mailroom {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string page(const char* facts)
{
    std::string text;
    for (const auto& line : top_page(boost::json::parse(facts)))
        text += line + "\n";
    return text;
}

constexpr const char* empty =
    R"({"installation": "test", "at": "2026-12-01T10:20:30.5+00:00", "estimate": 0, "depth": [],
    "due_for": {}, "rates": {"interval": {"seconds": 2.0, "sent": 0, "failed": 0, "cancelled": 0},
    "minute": {"seconds": 60.0, "sent": 0, "failed": 0, "cancelled": 0}}, "accounts": [], "holds": [], "paused_logins": 0,
    "dispatchers": []})";

constexpr const char* busy = R"({"installation": "test", "at": "2026-12-01T10:20:30.5+00:00", "estimate": 1000123,
    "depth": [{"state": "ready", "lane": "bulk", "messages": 10001, "more": true},
              {"state": "held", "lane": "normal", "messages": 3, "more": false}],
    "due_for": {"bulk": 7200}, "rates": {"interval": {"seconds": 2.0, "sent": 25, "failed": 1, "cancelled": 0},
    "minute": {"seconds": 60.0, "sent": 600, "failed": 0, "cancelled": 0}},
    "accounts": [{"key": "smtp/mail:587/erp", "account": "erp", "sending": 4, "waiting": 200, "more": false,
      "blocked_until": "2026-12-01T10:30:00+00:00", "blocked_why": "421 slow down", "recipients_in_24_hours": 1200,
      "limits": {"messages_per_minute": 30, "connections": 3, "recipients_per_day": 10000}}],
    "holds": [{"reason": "no_user", "subject": "user BEN", "remedy": "", "messages": 3, "more": false}], "paused_logins": 1,
    "dispatchers": [{"host": "a", "pid": 7, "version": "1.0", "alive": true, "silent_for": 2}]})";

TEST(TopPage, SaysLoudlyThatNothingDrainsAnEmptyQueue)
{
    EXPECT_THAT(page(empty), HasSubstr("NO DISPATCHER IS ALIVE"));
    EXPECT_THAT(page(empty), HasSubstr("nothing is due"));
}

TEST(TopPage, ShowsDepthRatesAccountsHoldsAndDispatchers)
{
    const std::string text = page(busy);
    for (const char* words :
         {"1 dispatcher alive", "about 1,000,123 live", "bulk for 2 h", "sent 12.5 (10.0)", "failed 0.5 (0.0)",
          "1,200/10,000", "2026-12-01 10:30:00Z", "smtp/mail:587/erp (30/min, 3 at once): 421 slow down",
          "no_user (user BEN)", "1 login paused", "dispatcher a (pid 7, 1.0): alive, heard 2 s ago"})
        EXPECT_THAT(text, HasSubstr(words));
}

TEST(TopPage, MarksWhatWasNotCountedToItsEnd)
{
    EXPECT_THAT(page(busy), HasSubstr("10,000+"));
    EXPECT_THAT(page(busy), Not(HasSubstr("3+")));
}

TEST(TopPage, NeverSaysZeroOfWhatWasCountedToASmallLimit)
{
    const auto shown = [](const char* messages) {
        boost::json::value facts = boost::json::parse(busy);
        facts.as_object()["holds"].as_array()[0].as_object()["messages"] = boost::json::parse(messages);
        facts.as_object()["holds"].as_array()[0].as_object()["more"] = true;
        return page(boost::json::serialize(facts).c_str());
    };
    EXPECT_THAT(shown("11"), HasSubstr("11+"));
    EXPECT_THAT(shown("101"), HasSubstr("100+"));
    EXPECT_THAT(shown("2020"), HasSubstr("2,000+"));
}

TEST(Terminal, CutsALineAtItsEdgeBetweenCharacters)
{
    EXPECT_EQ(host::cut("Zoë Müller", 3), "Zoë");
    EXPECT_EQ(host::cut("Zoë", 10), "Zoë");
    EXPECT_EQ(host::cut("Zoë", 0), "");
}

TEST(Terminal, ShowsNothingThatCouldMoveTheCursor)
{
    EXPECT_EQ(host::cut("a\x1b[2Jb\nc\x7f\xC2\x9B"
                        "d",
                        80),
              "a?[2Jb?c??d");
    EXPECT_EQ(host::cut("caf\xC2\xA0x", 80), "caf\xC2\xA0x");
}

} // namespace
} // namespace mailroom
