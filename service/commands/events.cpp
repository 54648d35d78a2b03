// What operators must know and do: the rows of mailroom.events, and with --follow what begins and ends from now on.
#include "config/text.hpp"

#include "queue/sql.hpp"
#include "service/commands/commands.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace mailroom::commands {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr auto look_every = std::chrono::seconds(2);
constexpr auto margin = std::chrono::minutes(1); // what one look sees of the time before the last one
constexpr std::size_t longest = 500;             // octets of why it is away
constexpr std::int64_t followed = 10'000;        // events at once

pg::DbResult<json::value> read_events(pg::Connection& connection, const EventFilter& filter)
{
    return call_json(connection, queue::sql("events").sql,
                     pg::Params().truth(filter.all).text_or_null(filter.since).number(filter.limit), search_limit);
}

void print_event(const json::value& event)
{
    const bool is_open = event.at("open").as_bool();
    const std::int64_t times = event.at("times").as_int64();
    std::string more = is_open ? "" : ", until " + short_time(text_at(event, "until"));
    if (times > 1)
        more += fmt::format(", {} times", grouped(times));
    fmt::print("{}{}  {}  {}  {}\n    {}\n", short_time(text_at(event, "since")), more, text_at(event, "severity"),
               text_at(event, "id"), text_at(event, "subject"), text_at(event, "text"));
    if (is_open)
        fmt::print("    {}\n", text_at(event, "remedy"));
}

void print_change(const Options& options, const json::value& event)
{
    if (options.output == Output::json)
        print_json(event);
    else
        print_event(event);
    std::fflush(stdout);
}

int complain_about_events(const Options& options, const pg::DbError& error)
{
    const bool is_no_age = error.sqlstate.starts_with("22"); // data exception
    return complain(options, explained("reading events", error).text, is_no_age ? Exit::usage : Exit::failed);
}

// The connection, made again when the database is back.
bool is_back(const Options& options, pg::Connection& connection)
{
    if (connection.usable())
        return true;
    auto again = connect(options);
    if (again)
        connection = *std::move(again);
    return connection.usable();
}

// Until it is interrupted, also while the database is away. Begins with what the filter asks for.
int follow(const Options& options, pg::Connection& connection, const EventFilter& asked)
{
    std::map<std::pair<std::string, std::string>, std::string> known; // since when, or until when
    EventFilter filter = asked;
    std::optional<Clock::time_point> looked_at;
    bool is_away = false;
    for (;; std::this_thread::sleep_for(look_every)) {
        if (!is_back(options, connection))
            continue;
        if (looked_at && asked.since.empty()) // what ends is to be seen as well, also what ended meanwhile
            filter.since = fmt::format(
                "{} seconds", std::chrono::ceil<std::chrono::seconds>(Clock::now() - *looked_at + margin).count());
        const auto found = read_events(connection, filter);
        if (!found && !found.error().connection_is_gone())
            return complain_about_events(options, found.error());
        if (is_away == found.has_value()) {
            is_away = !is_away;
            fmt::print(stderr, "mailroom: {}\n",
                       is_away ? "waits for the database: " + printable(found.error().text, longest)
                               : "the database is back");
        }
        if (!found)
            continue;
        looked_at = Clock::now();
        filter.limit = followed;
        for (const auto& event : found->at("events").as_array()) {
            const std::string state = text_at(event, "since") + text_at(event, "until");
            std::string& before = known[{text_at(event, "id"), text_at(event, "subject")}];
            if (std::exchange(before, state) != state)
                print_change(options, event);
        }
    }
}

} // namespace

int events(const Options& options, const EventFilter& filter)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    if (filter.follow)
        return follow(options, *connection, filter);
    const auto found = read_events(*connection, filter);
    if (!found)
        return complain_about_events(options, found.error());
    if (options.output == Output::json) {
        print_json(*found);
        return Exit::ok;
    }
    if (found->at("events").as_array().empty())
        fmt::print("{}\n", filter.all || !filter.since.empty() ? "no event" : "no event is open");
    for (const auto& event : found->at("events").as_array())
        print_event(event);
    return Exit::ok;
}

} // namespace mailroom::commands
