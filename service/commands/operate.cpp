// What an operator does with messages: counts first, asks, then works in short steps, so that nobody waits for it and
// an interruption loses nothing.
#include "service/commands/commands.hpp"
#include "service/commands/filter.hpp"
#include "service/host/prompt.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <map>
#include <utility>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

constexpr int step_size = 1'000;                        // messages in one transaction, ours: a tenth of a second
constexpr auto step_limit = std::chrono::seconds(60);   // a step may have to read all recipients to find its own
constexpr auto count_limit = std::chrono::seconds(120); // counting a queue of millions

using Counts = std::map<std::string, std::int64_t>; // why messages are left alone, and how many

void add(Counts& counts, const json::value& more)
{
    for (const auto& [reason, count] : more.as_object())
        counts[std::string(reason.data(), reason.size())] += count.as_int64();
}

std::string words(const Counts& left_alone)
{
    std::string text;
    for (const auto& [reason, count] : left_alone)
        text += fmt::format("{}{} {}", text.empty() ? " (left alone: " : "; ", grouped(count), reason);
    return text.empty() ? text : text + ")";
}

json::object as_json(const Counts& left_alone)
{
    json::object object;
    for (const auto& [reason, count] : left_alone)
        object.emplace(reason, count);
    return object;
}

std::string_view past(std::string_view action)
{
    return action == "retry"     ? "made due"
           : action == "cancel"  ? "cancelled"
           : action == "hold"    ? "held"
           : action == "release" ? "released"
           : action == "settle"  ? "settled"
                                 : "reassigned";
}

std::string capitalised(std::string text)
{
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
    return text;
}

std::string arguments_of(const Operation& operation)
{
    json::object arguments;
    for (const auto& [key, value] : {std::pair{"note", &operation.note}, std::pair{"identity", &operation.identity},
                                     std::pair{"user", &operation.user}, std::pair{"form", &operation.form},
                                     std::pair{"model", &operation.model}, std::pair{"outcome", &operation.outcome}}) {
        if (!value->empty())
            arguments.emplace(key, *value);
    }
    if (operation.now)
        arguments.emplace("now", true);
    return json::serialize(arguments);
}

// What was found before anything is changed.
struct Preview {
    std::int64_t matched = 0;
    std::int64_t eligible = 0;
    Counts left_alone;
    std::int64_t up_to = 0;
    json::array not_live;
};

Preview preview_from(const json::value& counted)
{
    Preview preview;
    preview.matched = counted.at("matched").as_int64();
    preview.eligible = counted.at("eligible").as_int64();
    add(preview.left_alone, counted.at("left_alone"));
    preview.up_to = counted.at("up_to").as_int64();
    preview.not_live = counted.at("not_live").as_array();
    return preview;
}

void tell_not_live(const Preview& preview)
{
    for (const auto& named : preview.not_live) {
        const std::string state = text_at(named, "state");
        fmt::print(stderr, "mailroom: {}\n",
                   state.empty() ? fmt::format("there is no message {} in this database", text_at(named, "uid"))
                                 : fmt::format("message {} has ended: {}", text_at(named, "uid"), state));
    }
}

struct Done {
    std::int64_t changed = 0;
    Counts left_alone;
};

// A line on standard error at every tenth, so that long work is seen to go on.
void show_progress(std::int64_t before, std::int64_t now, std::int64_t total)
{
    if (total > step_size && now * 10 / total > before * 10 / total)
        fmt::print(stderr, "  {} of {}\n", grouped(now), grouped(total));
}

pg::DbResult<void> work(pg::Connection& connection, const Operation& operation, const Preview& preview, Done& done)
{
    json::object filter = filter_json(operation.filter);
    filter.emplace("up_to", preview.up_to); // what came after the count was not meant
    const std::string filter_text = json::serialize(filter);
    const std::string arguments = arguments_of(operation);
    const std::string sql = fmt::format(
        "SELECT mailroom.{}_messages($1::jsonb, $2::jsonb, $3::bigint, $4::integer)::text", operation.action);
    for (std::int64_t after = 0;;) {
        auto step =
            call_json(connection, sql, pg::Params().text(filter_text).text(arguments).number(after).number(step_size),
                      step_limit);
        if (!step)
            return step.error();
        const std::int64_t before = done.changed;
        done.changed += step->at("changed").as_int64();
        add(done.left_alone, step->at("left_alone"));
        show_progress(before, done.changed, preview.eligible);
        if (step->at("last").is_null())
            return {};
        after = step->at("last").as_int64();
    }
}

int report_count(const Options& options, const Operation& operation, const Preview& preview)
{
    if (options.output == Output::json)
        print_json({{"action", operation.action},
                    {"dry_run", true},
                    {"matched", preview.matched},
                    {"would_change", preview.eligible},
                    {"left_alone", as_json(preview.left_alone)},
                    {"not_live", preview.not_live}});
    else if (preview.matched == 0)
        fmt::print("no message matches\n");
    else
        fmt::print("would {} {}{}\n", operation.action, count_of(preview.eligible, "message"),
                   words(preview.left_alone));
    return Exit::ok;
}

int report_done(const Options& options, const Operation& operation, const Preview& preview, const Done& done)
{
    if (options.output == Output::json)
        print_json({{"action", operation.action},
                    {"matched", preview.matched},
                    {"changed", done.changed},
                    {"left_alone", as_json(done.left_alone)},
                    {"not_live", preview.not_live}});
    else if (preview.matched == 0 && preview.not_live.empty())
        fmt::print("no message matches\n");
    else
        fmt::print("{} {}{}\n", past(operation.action), count_of(done.changed, "message"), words(done.left_alone));
    const bool nothing_could_be = preview.matched > 0 && done.changed == 0;
    return !preview.not_live.empty() || nothing_could_be ? Exit::failed : Exit::ok;
}

// Also what is being sent changes by being cancelled: it is not tried again.
bool changes_something(const Operation& operation, const Preview& preview)
{
    return preview.eligible > 0 || (operation.action == "cancel" && preview.left_alone.contains("being sent"));
}

// Whether to go on; else the exit code.
std::optional<int> refused(const Options& options, const Operation& operation, const Preview& preview)
{
    if (operation.consent == Consent::given)
        return {};
    switch (host::ask(fmt::format("{} {}{}?", capitalised(operation.action), count_of(preview.eligible, "message"),
                                  words(preview.left_alone)))) {
    case host::Answer::yes:
        return {};
    case host::Answer::no:
        fmt::print("nothing was changed\n");
        return Exit::failed;
    case host::Answer::nobody_there:
        report_count(options, operation, preview);
        return complain(options, "nothing was changed: add --yes", Exit::usage);
    }
    return Exit::failed;
}

} // namespace

int operate(const Options& options, const Operation& operation)
{
    if (options.output == Output::json && operation.consent == Consent::ask)
        return complain(options, "with --json nobody is asked: add --yes, or --dry-run to count only", Exit::usage);
    const json::object filter = filter_json(operation.filter);
    if (filter.empty())
        return complain(options,
                        fmt::format("{} which messages? Name them by uid or by a filter, or --all", operation.action),
                        Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto counted = call_json(
        *connection, "SELECT mailroom.preview($1, $2::jsonb, $3::jsonb)::text",
        pg::Params().text(operation.action).text(json::serialize(filter)).text(arguments_of(operation)), count_limit);
    if (!counted)
        return complain_about(options, "counting the messages", counted.error());
    const Preview preview = preview_from(*counted);
    tell_not_live(preview);
    if (operation.consent == Consent::only_count)
        return report_count(options, operation, preview);
    Done done;
    if (!changes_something(operation, preview)) {
        done.left_alone = preview.left_alone;
        return report_done(options, operation, preview, done);
    }
    if (const auto code = refused(options, operation, preview))
        return *code;
    if (const auto worked = work(*connection, operation, preview, done); !worked)
        return complain_about(options,
                              fmt::format("{} {}, then", past(operation.action), count_of(done.changed, "message")),
                              worked.error());
    return report_done(options, operation, preview, done);
}

} // namespace mailroom::commands
