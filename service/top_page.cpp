#include "service/top_page.hpp"

#include "config/text.hpp"

#include "service/commands/command.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace mailroom {
namespace {

namespace json = boost::json;
using commands::number_at;
using commands::short_time;
using commands::span_of;
using commands::text_at;

constexpr std::array<std::string_view, 3> lanes{"urgent", "normal", "bulk"};
constexpr std::size_t most_shown = 10; // accounts, and holds

// Of what is counted no further than to a limit: its first two digits.
std::string at_least(std::int64_t number, const json::value& counted)
{
    if (!counted.at("more").as_bool())
        return grouped(number);
    std::int64_t unit = 1;
    while (number / unit >= 100)
        unit *= 10;
    return grouped(number / unit * unit) + "+";
}

std::string head(const json::value& facts)
{
    const auto& dispatchers = facts.at("dispatchers").as_array();
    const auto alive = std::ranges::count_if(dispatchers, [](const json::value& d) { return d.at("alive").as_bool(); });
    return fmt::format("mailroom, installation {}   {}   {}", text_at(facts, "installation"),
                       short_time(text_at(facts, "at")),
                       alive == 0 ? "NO DISPATCHER IS ALIVE" : count_of(alive, "dispatcher") + " alive");
}

std::string rates(const json::value& facts)
{
    const json::value& now = facts.at("rates").at("interval");
    const json::value& minute = facts.at("rates").at("minute");
    const auto each_second = [](const json::value& window, std::string_view outcome) {
        return static_cast<double>(number_at(window, outcome)) / window.at("seconds").to_number<double>();
    };
    std::string line = "a second, now (in the last minute):";
    for (const std::string_view outcome : {"sent", "failed", "cancelled"})
        line += fmt::format("   {} {:.1f} ({:.1f})", outcome, each_second(now, outcome), each_second(minute, outcome));
    return line;
}

std::string due(const json::value& facts)
{
    std::string line;
    for (const std::string_view lane : lanes) {
        const auto* found = facts.at("due_for").as_object().if_contains(json::string_view(lane.data(), lane.size()));
        if (found != nullptr)
            line +=
                fmt::format("{} {} for {}", line.empty() ? "" : ",", lane, span_of(found->to_number<std::int64_t>()));
    }
    return fmt::format("about {} live; oldest due:{}", grouped(number_at(facts, "estimate")),
                       line.empty() ? " nothing is due" : line);
}

void add_depth(std::vector<std::string>& lines, const json::array& depth)
{
    constexpr std::array<std::string_view, 7> states{"ready",    "sending", "deferred", "scheduled",
                                                     "in_doubt", "held",    "cancelled"};
    lines.push_back(fmt::format("{:<12}{:>12}{:>12}{:>12}", "STATE", "URGENT", "NORMAL", "BULK"));
    for (const std::string_view state : states) {
        std::string line = fmt::format("{:<12}", state);
        for (const std::string_view lane : lanes) {
            const auto is_it = [&](const json::value& one) {
                return text_at(one, "state") == state && text_at(one, "lane") == lane;
            };
            const auto* const found = std::ranges::find_if(depth, is_it);
            line += fmt::format("{:>12}", found == depth.end() ? "0" : at_least(number_at(*found, "messages"), *found));
        }
        lines.push_back(std::move(line));
    }
}

std::string used(const json::value& account)
{
    if (account.at("recipients_in_24_hours").is_null())
        return "";
    const json::value& limits = account.at("limits");
    const std::int64_t most = limits.is_null() ? 0 : number_at(limits, "recipients_per_day");
    return fmt::format("{}{}", grouped(number_at(account, "recipients_in_24_hours")),
                       most == 0 ? "" : "/" + grouped(most));
}

// Of the limits that are no count of recipients: " (30/min, 3 at once)".
std::string pace(const json::value& account)
{
    const json::value& limits = account.at("limits");
    const std::int64_t minute = limits.is_null() ? 0 : number_at(limits, "messages_per_minute");
    const std::int64_t connections = limits.is_null() ? 0 : number_at(limits, "connections");
    std::string text = minute == 0 ? "" : grouped(minute) + "/min";
    if (connections > 0)
        text += fmt::format("{}{} at once", text.empty() ? "" : ", ", connections);
    return text.empty() ? "" : fmt::format(" ({})", text);
}

void add_more(std::vector<std::string>& lines, std::size_t all)
{
    if (all > most_shown)
        lines.push_back(fmt::format("... and {} more: mailroom queue", all - most_shown));
}

void add_accounts(std::vector<std::string>& lines, const json::value& facts)
{
    const json::array& accounts = facts.at("accounts").as_array();
    if (const auto paused = number_at(facts, "paused_logins"); paused > 0)
        lines.push_back(fmt::format("{} paused: mailroom doctor --no-mail-servers", count_of(paused, "login")));
    if (accounts.empty())
        return;
    lines.emplace_back();
    lines.push_back(fmt::format("{:>8} {:>8} {:>15}  {:<20}  {}", "SENDING", "WAITING", "USED IN 24 H", "BLOCKED UNTIL",
                                "ACCOUNT"));
    for (std::size_t i = 0; i < std::min(accounts.size(), most_shown); ++i) {
        const json::value& account = accounts[i];
        const std::string why = text_at(account, "blocked_why");
        lines.push_back(fmt::format("{:>8} {:>8} {:>15}  {:<20}  {}{}{}", number_at(account, "sending"),
                                    at_least(number_at(account, "waiting"), account), used(account),
                                    short_time(text_at(account, "blocked_until")), text_at(account, "key"),
                                    pace(account), why.empty() ? "" : ": " + why));
    }
    add_more(lines, accounts.size());
}

void add_holds(std::vector<std::string>& lines, const json::array& holds)
{
    if (holds.empty())
        return;
    lines.emplace_back();
    lines.push_back(fmt::format("{:>8}  {}", "HELD", "WHY"));
    for (std::size_t i = 0; i < std::min(holds.size(), most_shown); ++i) {
        const std::string subject = text_at(holds[i], "subject");
        lines.push_back(fmt::format("{:>8}  {}{}", at_least(number_at(holds[i], "messages"), holds[i]),
                                    text_at(holds[i], "reason"), subject.empty() ? "" : fmt::format(" ({})", subject)));
    }
    add_more(lines, holds.size());
}

void add_dispatchers(std::vector<std::string>& lines, const json::array& dispatchers)
{
    if (!dispatchers.empty())
        lines.emplace_back();
    for (const auto& dispatcher : dispatchers)
        lines.push_back(fmt::format("dispatcher {} (pid {}, {}): {}, heard {} ago", text_at(dispatcher, "host"),
                                    text_at(dispatcher, "pid"), text_at(dispatcher, "version"),
                                    dispatcher.at("alive").as_bool() ? "alive" : "DEAD",
                                    span_of(number_at(dispatcher, "silent_for"))));
}

} // namespace

std::vector<std::string> top_page(const json::value& facts)
{
    std::vector<std::string> lines{head(facts), due(facts), rates(facts), ""};
    add_depth(lines, facts.at("depth").as_array());
    add_accounts(lines, facts);
    add_holds(lines, facts.at("holds").as_array());
    add_dispatchers(lines, facts.at("dispatchers").as_array());
    return lines;
}

} // namespace mailroom
