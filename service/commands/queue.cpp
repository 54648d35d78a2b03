#include "service/commands/commands.hpp"
#include "service/commands/explain.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

void print_route(const json::value& route)
{
    fmt::print("route {} ({}): {} waiting", text_at(route, "key"), text_at(route, "account"),
               text_at(route, "waiting"));
    if (const std::string until = text_at(route, "blocked_until"); !until.empty())
        fmt::print("; blocked until {}: {}", short_time(until), text_at(route, "blocked_why"));
    if (const std::string used = text_at(route, "recipients_in_24_hours"); !used.empty())
        fmt::print("; limited: {} recipients in 24 hours", used);
    fmt::print("\n");
}

void print_depth(const json::value& depth)
{
    fmt::print("installation {}: {} live messages\n", text_at(depth, "installation"), text_at(depth, "messages"));
    if (!depth.at("depth").as_array().empty())
        fmt::print("{:<10} {:<7} {:>9}  {:<20} {:<20} {:<18} {}\n", "STATE", "LANE", "MESSAGES", "OLDEST",
                   "NEXT ATTEMPT", "REASON", "ROUTE");
    for (const auto& line : depth.at("depth").as_array())
        fmt::print("{:<10} {:<7} {:>9}  {:<20} {:<20} {:<18} {}\n", text_at(line, "state"), text_at(line, "lane"),
                   text_at(line, "messages"), short_time(text_at(line, "oldest")),
                   short_time(text_at(line, "next_attempt")), text_at(line, "reason"), text_at(line, "route"));
    for (const auto& hold : depth.at("holds").as_array())
        fmt::print("held: {} x {} ({}), oldest {}\n  {}\n", text_at(hold, "messages"), text_at(hold, "reason"),
                   text_at(hold, "subject"), short_time(text_at(hold, "oldest")), text_at(hold, "remedy"));
    for (const auto& route : depth.at("routes").as_array())
        print_route(route);
    for (const auto& login : depth.at("paused_logins").as_array())
        fmt::print("paused login: {} at {} since {}: {}\n", text_at(login, "owner"), text_at(login, "server"),
                   short_time(text_at(login, "since")), text_at(login, "reply"));
    for (const auto& sender : depth.at("stopped_senders").as_array())
        fmt::print("stopped sender: {} by {} since {}: {}\n", text_at(sender, "from"), text_at(sender, "account"),
                   short_time(text_at(sender, "since")), text_at(sender, "reply"));
    const auto alive = std::ranges::count_if(depth.at("dispatchers").as_array(),
                                             [](const json::value& d) { return d.at("alive").as_bool(); });
    if (alive == 0)
        fmt::print("no dispatcher is running: start one with `mailroom serve`\n");
    else
        fmt::print("{} dispatcher{} running\n", alive, alive == 1 ? "" : "s");
    for (const auto& dispatcher : depth.at("dispatchers").as_array())
        if (const std::string safety = text_at(dispatcher, "safety");
            !safety.empty() && dispatcher.at("alive").as_bool())
            fmt::print("test system: dispatcher {} on {}: {}\n", text_at(dispatcher, "id"), text_at(dispatcher, "host"),
                       safety);
    std::string hour;
    for (const auto& [outcome, count] : depth.at("last_hour").as_object())
        hour += fmt::format("{}{} {}", hour.empty() ? "" : ", ", count.as_int64(),
                            std::string_view(outcome.data(), outcome.size()));
    fmt::print("last hour: {}\n", hour.empty() ? "nothing ended" : hour);
}

void print_held(const json::value& held)
{
    if (held.at("reasons").as_array().empty())
        fmt::print("nothing is held\n");
    for (const auto& reason : held.at("reasons").as_array()) {
        fmt::print("{}: {} held, oldest {}\n", text_at(reason, "reason"), text_at(reason, "messages"),
                   short_time(text_at(reason, "oldest")));
        for (const auto& subject : reason.at("subjects").as_array())
            fmt::print("  {} x {}, oldest {}\n    {}\n", text_at(subject, "messages"), text_at(subject, "subject"),
                       short_time(text_at(subject, "oldest")), text_at(subject, "remedy"));
    }
}

void print_line(std::string_view label, const std::string& text)
{
    if (!text.empty())
        fmt::print("  {:<16}{}\n", label, text);
}

std::string reply_of(const json::value& event)
{
    std::string text;
    for (const char* key : {"code", "enhanced", "reply"}) {
        if (const std::string part = text_at(event, key); !part.empty())
            text += (text.empty() ? "" : " ") + part;
    }
    return text;
}

// The steps of a decision, unless the event before was decided alike.
void print_steps(const json::value& event, const json::value*& before)
{
    const json::value* const why = event.as_object().if_contains("why");
    if (why == nullptr)
        return;
    if (before != nullptr && *before == *why)
        print_line("why", "as before");
    else
        fmt::print("  why\n{}", explain::to_text(why->as_object()));
    before = why;
}

// account anna, from Anna <anna@example.com>, sender ...
std::string identity_words(const json::value& identity)
{
    std::string words;
    for (const auto& [label, key] :
         {std::pair{"account", "account"}, std::pair{"from", "from_address"}, std::pair{"sender", "sender"}}) {
        if (const std::string text = text_at(identity, key); !text.empty())
            words += fmt::format("{}{} {}", words.empty() ? "" : ", ", label, text);
    }
    return words;
}

void print_event(const json::value& event)
{
    fmt::print("{} {}\n", short_time(text_at(event, "at")), text_at(event, "event"));
    print_line("table row", text_at(event, "table_row"));
    print_line("account", text_at(event, "account"));
    print_line("from", text_at(event, "from_address"));
    print_line("sender", text_at(event, "sender"));
    print_line("envelope sender", text_at(event, "envelope_sender"));
    if (const json::value* const before = event.as_object().if_contains("identity_before"))
        print_line("changed, before", identity_words(*before));
    print_line("started", short_time(text_at(event, "started_at")));
    print_line("server", text_at(event, "server"));
    print_line("stage", text_at(event, "stage"));
    print_line("reply", reply_of(event));
    print_line("what follows", text_at(event, "note"));
}

// Where a live message stands; a held or scheduled one stands in no line.
std::string line_words(const json::value& line)
{
    if (line.is_null() || !line.at("due").as_bool())
        return {};
    return fmt::format("{} before it in its lane ({}) of {}, {} in more urgent ones{}",
                       grouped(line.at("ahead").as_int64()), text_at(line, "lane"), text_at(line, "place"),
                       grouped(line.at("more_urgent").as_int64()),
                       line.at("dispatchers").as_int64() == 0 ? "; no dispatcher is running" : "");
}

void print_story(const json::value& story)
{
    fmt::print("message {}: {}{}\n", text_at(story, "uid"), text_at(story, "state"),
               text_at(story, "possible_duplicate") == "true" ? ", possible duplicate" : "");
    for (const char* key : {"reason", "subject", "remedy", "category", "user_code", "form", "model", "batch",
                            "document", "lane", "posted_by", "attachments"})
        print_line(key, text_at(story, key));
    for (const char* key : {"enqueued_at", "put_off_since", "next_attempt", "expires_at", "ended_at"})
        print_line(key, short_time(text_at(story, key)));
    print_line("in line", line_words(story.at("line")));
    for (const auto& recipient : story.at("recipients").as_array()) {
        const std::string reply = reply_of(recipient);
        fmt::print("  {:<4}{} {}{}\n", text_at(recipient, "kind"), text_at(recipient, "address"),
                   text_at(recipient, "state"), reply.empty() ? "" : ": " + reply);
    }
    const json::value* decided = nullptr;
    for (const auto& event : story.at("events").as_array()) {
        print_event(event);
        print_steps(event, decided);
    }
}

// Of a message that nobody has decided yet. Where the steps cannot be told, who can.
void print_why_now(const Result<std::optional<ExplainedMessage>>& found)
{
    if (!found)
        return print_line("why", fmt::format("not told here: {}", found.error().text));
    if (*found)
        fmt::print("why, were it decided now\n{}", explain::to_text(explain::to_json((*found)->explained)));
}

bool tells_why(const json::value& story)
{
    return std::ranges::any_of(story.at("events").as_array(),
                               [](const json::value& event) { return event.as_object().contains("why"); });
}

} // namespace

int queue_depth(const Options& options)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto depth = query_json(*connection, "depth");
    if (!depth)
        return complain(options, depth.error().text);
    if (options.output == Output::json)
        print_json(*depth);
    else
        print_depth(*depth);
    return Exit::ok;
}

int queue_held(const Options& options)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto held = query_json(*connection, "held");
    if (!held)
        return complain(options, held.error().text);
    if (options.output == Output::json)
        print_json(*held);
    else
        print_held(*held);
    return Exit::ok;
}

int show(const Options& options, const std::string& uid)
{
    if (!is_uuid(uid))
        return complain(
            options,
            fmt::format("\"{}\" is not the uid of a message, such as 4c839a95-b1f7-4bb6-80e4-5114477a2748", uid),
            Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    auto story = query_json(*connection, "story", pg::Params().text(uid));
    if (!story)
        return complain(options, story.error().text);
    if (story->is_null())
        return complain(options, fmt::format("there is no message {} in this database", uid));
    auto line = query_json(*connection, "line", pg::Params().text(uid));
    if (!line)
        return complain(options, line.error().text);
    story->as_object()["line"] = *std::move(line);
    const bool is_undecided = text_at(*story, "ended_at").empty() && !tells_why(*story);
    if (options.output == Output::json) {
        const auto now = is_undecided ? explain_message(options, *connection, uid) : std::optional<ExplainedMessage>();
        story->as_object()["why_now"] = now && *now ? json::value(explain::to_json((*now)->explained)) : json::value();
        print_json(*story);
        return Exit::ok;
    }
    print_story(*story);
    if (is_undecided)
        print_why_now(explain_message(options, *connection, uid));
    return Exit::ok;
}

} // namespace mailroom::commands
