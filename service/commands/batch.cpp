// Batches as a whole: what waits of each, and holding, releasing or cancelling all of one, also what comes later.
#include "service/commands/commands.hpp"
#include "service/commands/filter.hpp"
#include "service/host/prompt.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

constexpr auto count_limit = std::chrono::seconds(120);
constexpr auto change_limit = std::chrono::seconds(120); // all of a batch in one transaction

void print_batch(const json::value& batch)
{
    std::string states;
    for (const auto& [state, count] : batch.at("states").as_object())
        states += fmt::format("{}{} {}", states.empty() ? "" : ", ", grouped(count.as_int64()),
                              std::string_view(state.data(), state.size()));
    fmt::print("{}: {}", text_at(batch, "batch"), states.empty() ? "nothing waits" : states);
    if (const std::string by = text_at(batch, "held_by"); !by.empty())
        fmt::print("; held by {} since {}", by, short_time(text_at(batch, "held_at")));
    if (const std::string oldest = text_at(batch, "oldest"); !oldest.empty())
        fmt::print("; oldest {}", short_time(oldest));
    fmt::print("\n");
}

// The functions answer with a number or an object of numbers.
std::string words(const json::value& answer)
{
    if (!answer.is_object())
        return count_of(answer.as_int64(), "message");
    std::string text;
    for (const auto& [what, count] : answer.as_object())
        text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", std::string_view(what.data(), what.size()),
                            json::serialize(count));
    return text;
}

// Whether to go on; else the exit code.
std::optional<int> refused(const Options& options, pg::Connection& connection, const std::string& action,
                           const std::string& name, Consent consent)
{
    const json::object filter{{"batch", name}};
    const auto counted = call_json(connection, "SELECT mailroom.preview($1, $2::jsonb)::text",
                                   pg::Params().text(action).text(json::serialize(filter)), count_limit);
    if (!counted)
        return complain_about(options, "counting the batch " + name, counted.error());
    const std::string what =
        fmt::format("batch {}, {}", name, count_of(counted->at("matched").as_int64(), "live message"));
    if (consent == Consent::only_count) {
        if (options.output == Output::json)
            print_json({{"action", action}, {"batch", name}, {"dry_run", true}, {"matched", counted->at("matched")}});
        else
            fmt::print("would {} {}\n", action, what);
        return Exit::ok;
    }
    switch (host::ask(fmt::format("{} {}?", action, what))) {
    case host::Answer::yes:
        return {};
    case host::Answer::no:
        fmt::print("nothing was changed\n");
        return Exit::failed;
    case host::Answer::nobody_there:
        fmt::print("would {} {}\n", action, what);
        return complain(options, "nothing was changed: add --yes", Exit::usage);
    }
    return Exit::failed;
}

} // namespace

int batch_list(const Options& options)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto batches = query_json(*connection, "batches");
    if (!batches)
        return complain(options, batches.error().text);
    if (options.output == Output::json) {
        print_json(*batches);
        return Exit::ok;
    }
    if (batches->at("batches").as_array().empty())
        fmt::print("no batch waits or is held\n");
    for (const auto& batch : batches->at("batches").as_array())
        print_batch(batch);
    return Exit::ok;
}

int batch_change(const Options& options, const std::string& action, const std::string& name, Consent consent)
{
    if (options.output == Output::json && consent == Consent::ask)
        return complain(options, "with --json nobody is asked: add --yes, or --dry-run to count only", Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    if (consent != Consent::given) {
        if (const auto code = refused(options, *connection, action, name, consent))
            return *code;
    }
    const auto answer = call_json(*connection, fmt::format("SELECT to_jsonb(mailroom.{}_batch($1))::text", action),
                                  pg::Params().text(name), change_limit);
    if (!answer)
        return complain_about(options, fmt::format("batch {} {}", action, name), answer.error());
    if (options.output == Output::json)
        print_json({{"action", action}, {"batch", name}, {"result", *answer}});
    else
        fmt::print("batch {} {}: {}\n", action, name, words(*answer));
    return Exit::ok;
}

} // namespace mailroom::commands
