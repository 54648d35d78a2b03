#include "service/commands/settings_change.hpp"

#include "queue/settings_store.hpp"
#include "service/host/key_source.hpp"
#include "service/host/prompt.hpp"
#include "service/rules/what_if.hpp"
#include "service/snapshot.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

constexpr auto settings_change_limit = std::chrono::minutes(2); // ours: an import of many thousand users
constexpr std::string_view to_be_confirmed = "MR007";           // SQLSTATE, ours: to be confirmed
constexpr std::string_view changed_meanwhile = "40001";         // serialization_failure
constexpr auto waiting_facts = R"(SELECT source, user_id, user_code, row_id, model_id, addressed, messages
  FROM mailroom.waiting_facts())";

pg::DbResult<json::value> run_change(pg::Connection& connection, const SettingsChange& change, Confirmed confirmed)
{
    const SettingsCall call = change.call(confirmed);
    return call_json(connection, call.sql, call.params, settings_change_limit);
}

// --- a dry run

struct Tried {
    json::value result;
    queue::StoredSettings before;
    queue::StoredSettings after;
    std::vector<rules::Waiting> waiting;
};

pg::DbResult<std::vector<rules::Waiting>> read_waiting(pg::Connection& connection)
{
    const auto rows = connection.run({"", waiting_facts}, {}, search_limit);
    if (!rows)
        return rows.error();
    const auto id_at = [&](int row, int column) {
        return rows->is_null(row, column) ? std::nullopt
                                          : std::optional(static_cast<std::int32_t>(rows->number(row, column)));
    };
    std::vector<rules::Waiting> waiting;
    for (int row = 0; row < rows->rows(); ++row) {
        rules::Facts facts;
        facts.source = rows->number(row, 0) == 1 ? rules::Source::mobile : rules::Source::erp;
        facts.user = id_at(row, 1);
        facts.user_code = rows->text(row, 2);
        facts.row = id_at(row, 3);
        facts.model = id_at(row, 4);
        facts.addressed = rows->truth(row, 5);
        waiting.push_back({std::move(facts), rows->number(row, 6)});
    }
    return waiting;
}

pg::DbResult<Tried> try_within(pg::Connection& connection, const SettingsChange& change)
{
    auto before = queue::read_settings(connection);
    if (!before)
        return before.error();
    auto waiting = read_waiting(connection);
    if (!waiting)
        return waiting.error();
    auto result = run_change(connection, change, Confirmed::yes);
    if (!result)
        return result.error();
    auto after = queue::read_settings(connection);
    if (!after)
        return after.error();
    return Tried{*std::move(result), *std::move(before), *std::move(after), *std::move(waiting)};
}

pg::DbResult<Tried> try_and_undo(pg::Connection& connection, const SettingsChange& change)
{
    if (const auto begun = connection.script("BEGIN ISOLATION LEVEL REPEATABLE READ", pg::Connection::statement_limit);
        !begun)
        return begun.error();
    auto tried = try_within(connection, change);
    if (connection.usable()) {
        if (const auto undone = connection.script("ROLLBACK", pg::Connection::statement_limit); !undone)
            return undone.error();
    }
    return tried;
}

// Which logins are paused is known only with the key: without it they are as good as any.
std::vector<rules::Difference> differences_of(const Options& options, Tried tried)
{
    std::optional<queue::Keyring> keys;
    if (const auto file = settings(options)) {
        if (auto found = host::keyring(*file))
            keys = *std::move(found);
    }
    const auto before = make_snapshot(std::move(tried.before), keys ? &*keys : nullptr);
    const auto after = make_snapshot(std::move(tried.after), keys ? &*keys : nullptr);
    rules::Knowledge known_before = before->knowledge;
    rules::Knowledge known_after = after->knowledge;
    known_before.key_missing = known_after.key_missing = false; // the daemons' matter
    return rules::what_if({before->settings, known_before}, {after->settings, known_after}, tried.waiting);
}

std::string_view difference_kind(const rules::Difference& difference)
{
    switch (difference.kind) {
    case rules::Subject::Kind::user:
        return "user";
    case rules::Subject::Kind::row:
        return "row"; // for people: form
    case rules::Subject::Kind::model:
        return "model";
    default:
        return "general";
    }
}

std::string_view who_in_words(const rules::Difference& difference)
{
    const std::string_view kind = difference_kind(difference);
    return kind == "general" ? "MOBILE's mail" : kind == "row" ? "form" : kind;
}

json::object as_object(const rules::Prospect& prospect)
{
    return {{"table_row", prospect.table_row},
            {"mode", prospect.mode},
            {"account", prospect.account},
            {"server", prospect.server},
            {"from", prospect.from},
            {"sender", prospect.sender},
            {"hold", prospect.hold}};
}

std::string prospect_words(const rules::Prospect& prospect)
{
    const std::string row = prospect.table_row.empty() ? "" : " [" + prospect.table_row + "]";
    if (prospect.hold == "not there")
        return prospect.hold;
    if (!prospect.hold.empty())
        return "held: " + prospect.hold + row;
    if (prospect.mode.empty())
        return "standard mail of whoever posts it" + row;
    if (prospect.server.empty() && prospect.account.empty())
        return fmt::format("{} of whoever posts it, as {}{}", prospect.mode, prospect.from, row);
    return fmt::format("{}{}{}, as {}{}{}", prospect.mode, prospect.account.empty() ? "" : " by " + prospect.account,
                       prospect.server.empty() ? "" : " at " + prospect.server, prospect.from,
                       prospect.sender.empty() ? "" : " (Sender " + prospect.sender + ")", row);
}

int report_trial(const Options& options, const json::value& advice, const std::vector<rules::Difference>& differences)
{
    if (options.output == Output::json) {
        json::array all;
        for (const rules::Difference& one : differences)
            all.push_back({{"kind", difference_kind(one)},
                           {"code", one.code},
                           {"before", as_object(one.before)},
                           {"after", as_object(one.after)},
                           {"waiting", one.waiting}});
        print_json({{"dry_run", true}, {"differences", std::move(all)}, {"advice", advice}});
        return Exit::ok;
    }
    for (const rules::Difference& one : differences)
        fmt::print("{}{}, {} in the queue:\n  now:  {}\n  then: {}\n", who_in_words(one),
                   one.code.empty() ? "" : " " + one.code, count_of(one.waiting, "message"), prospect_words(one.before),
                   prospect_words(one.after));
    if (differences.empty())
        fmt::print("nobody's sender, mode or hold would differ\n");
    fmt::print("dry run: nothing was saved{}\n", lines_of(advice));
    return Exit::ok;
}

int dry_run_of(const Options& options, pg::Connection& connection, const SettingsChange& change)
{
    auto tried = try_and_undo(connection, change);
    if (!tried && tried.error().sqlstate == changed_meanwhile)
        return complain(options, change.doing + ": somebody else saved at the same time; try again");
    if (!tried)
        return complain(options, settings_error(change.doing, tried.error()).text);
    const json::value advice = tried->result.at("advice");
    return report_trial(options, advice, differences_of(options, *std::move(tried)));
}

} // namespace

Error settings_error(std::string_view doing, const pg::DbError& error)
{
    if (error.kind != pg::DbError::Kind::refused || !error.sqlstate.starts_with("MR"))
        return explained(doing, error);
    return Error{fmt::format("{}: {}{}{}", doing, error.text, error.hint.empty() ? "" : "\n", error.hint)};
}

std::string lines_of(const json::value& advice)
{
    std::string text;
    for (const json::value& line : advice.as_array())
        text += fmt::format("\n{}", std::string_view(line.as_string()));
    return text;
}

int change_settings(const Options& options, pg::Connection& connection, const SettingsChange& change, Consent consent)
{
    if (consent == Consent::only_count)
        return dry_run_of(options, connection, change);
    auto result = run_change(connection, change, consent == Consent::given ? Confirmed::yes : Confirmed::no);
    if (!result && result.error().sqlstate == to_be_confirmed) {
        const bool asks = options.output == Output::text &&
                          host::ask(fmt::format("{}\nDo it?", result.error().text)) == host::Answer::yes;
        if (!asks)
            return complain(options, fmt::format("{}: {}\nNothing was changed: add --yes if this is meant",
                                                 change.doing, result.error().text));
        result = run_change(connection, change, Confirmed::yes);
    }
    if (!result)
        return complain(options, settings_error(change.doing, result.error()).text);
    change.report(*result);
    return Exit::ok;
}

} // namespace mailroom::commands
