// The mail settings as a whole: shown with where each value comes from, exported, applied from a file, deleted, copied,
// and who changed what. Single ones are saved by commands/account.
#include "service/commands/commands.hpp"
#include "service/commands/settings_change.hpp"
#include "service/commands/settings_file.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

constexpr auto export_limit = std::chrono::seconds(60); // many thousand users

std::string_view kind_in_database(std::string_view kind)
{
    return kind == "form" ? "row" : kind;
}

std::string title_of(const Target& target)
{
    return target.code.empty() ? target.kind : target.kind + " " + target.code;
}

std::string shown_value(const json::value& value)
{
    if (const json::string* text = value.if_string())
        return {text->data(), text->size()};
    return value.is_bool() ? (value.get_bool() ? "yes" : "no") : json::serialize(value);
}

void print_setting(const json::value& setting)
{
    std::string line = fmt::format("  {:<22}{}", text_at(setting, "setting"), shown_value(setting.at("value")));
    if (const std::string origin = text_at(setting, "origin"); !origin.empty())
        line += fmt::format("  ({}{})", origin.find('.') == std::string::npos ? "" : "from ", origin);
    if (const json::value* own = setting.as_object().if_contains("own"))
        line += fmt::format("  (own, without effect: {})", shown_value(*own));
    fmt::print("{}\n", line);
}

void print_settings(const json::value& shown)
{
    const std::string kind = text_at(shown, "kind");
    const std::string code = text_at(shown, "code");
    fmt::print("{}{}{}, version {}\n", kind == "row" ? "form" : kind, code.empty() ? "" : " ", code,
               number_at(shown, "version"));
    for (const json::value& setting : shown.at("settings").as_array())
        print_setting(setting);
    std::string missing;
    for (const json::value& label : shown.at("still_missing").as_array())
        missing += (missing.empty() ? "" : ", ") + std::string(std::string_view(label.as_string()));
    if (!missing.empty())
        fmt::print("  still missing: {}\n", missing);
    if (const json::value* allowed = shown.as_object().if_contains("must_be_allowed_to_send_as")) {
        for (const json::value& address : allowed->as_array())
            fmt::print("  its account must be allowed to send as {} ({}{}{})\n", text_at(address, "address"),
                       text_at(address, "kind") == "row" ? "form" : text_at(address, "kind"),
                       text_at(address, "code").empty() ? "" : " ", text_at(address, "code"));
    }
}

SettingsCall import_call(const SettingsTable& table, const Applying& applying, Confirmed confirmed)
{
    json::object how{{"confirm", confirmed == Confirmed::yes}, {"any_version", applying.any_version}};
    if (!table.lines.empty())
        how.emplace("lines", table.lines);
    return {"SELECT mailroom.import_settings($1::jsonb, $2::jsonb)::text",
            pg::Params().text(json::serialize(table.settings)).text(json::serialize(how))};
}

void print_settings_change(const json::value& change)
{
    const std::string kind = text_at(change, "kind");
    const std::string code = text_at(change, "code");
    std::string what = text_at(change, "action");
    if (const std::string setting = text_at(change, "setting"); !setting.empty()) {
        const bool is_secret = setting == "password" || setting == "token";
        what = is_secret ? setting + " " + text_at(change, "new_value")
                         : fmt::format(R"({}: "{}" -> "{}")", setting, text_at(change, "old_value"),
                                       text_at(change, "new_value"));
    }
    const std::string reason = text_at(change, "reason");
    fmt::print("{}  {}  {}{}{}  {}{}{}\n", short_time(text_at(change, "at")), text_at(change, "who"),
               kind == "row" ? "form" : kind, code.empty() ? "" : " ", code, what, reason.empty() ? "" : "; ", reason);
}

} // namespace

int settings_show(const Options& options, const Target& target)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto shown = target.kind.empty()
                           ? query_json(*connection, "show_settings")
                           : query_json(*connection, "show_setting",
                                        pg::Params().text(kind_in_database(target.kind)).text(target.code));
    if (!shown)
        return complain(options, shown.error().text);
    if (options.output == Output::json) {
        print_json(*shown);
        return Exit::ok;
    }
    if (shown->is_object())
        print_settings(*shown);
    else
        for (const json::value& one : shown->as_array())
            print_settings(one);
    return Exit::ok;
}

int settings_export(const Options& options, const SettingsFile& file)
{
    const std::string format = settings_format_of(file);
    std::optional<std::string_view> part;
    if (format == "csv") {
        const auto named = part_of_table(file);
        if (!named)
            return complain(options, named.error().text, Exit::usage);
        part = *named;
    } else if (!file.kind.empty()) {
        return complain(options, "--kind is of a table: add --format csv", Exit::usage);
    }
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto settings = call_json(*connection, "SELECT mailroom.export_settings()::text", {}, export_limit);
    if (!settings)
        return complain(options, settings_error("exporting the settings", settings.error()).text);
    const std::string text = part               ? settings_as_csv(*settings, *part)
                             : format == "toml" ? settings_as_toml(*settings)
                                                : settings_as_json(*settings);
    if (file.path.empty() || file.path == "-") {
        fmt::print("{}", text);
        return Exit::ok;
    }
    std::ofstream out(file.path, std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    if (!out)
        return complain(options, fmt::format("{}: it cannot be written: {}", file.path, std::strerror(errno)));
    if (options.output == Output::json)
        print_json({{"exported", file.path}});
    else
        fmt::print("exported all {} but secrets to {}\n", part ? file.kind + " settings" : "mail settings", file.path);
    return Exit::ok;
}

int settings_apply(const Options& options, const Applying& applying)
{
    const SettingsFile& file = applying.file;
    const auto table = read_settings_file(file);
    if (!table)
        return complain(options, fmt::format("{}: {}", file.path, table.error().text), Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const SettingsChange change{
        "applying " + file.path, [&](Confirmed confirmed) { return import_call(*table, applying, confirmed); },
        [&](const json::value& result) {
            if (options.output == Output::json)
                print_json({{"applied", file.path},
                            {"named", result.at("named")},
                            {"changed", result.at("changed")},
                            {"advice", result.at("advice")}});
            else
                fmt::print("applied {}: {} of {} changed{}\n", file.path, grouped(number_at(result, "changed")),
                           grouped(number_at(result, "named")), lines_of(result.at("advice")));
        }};
    return change_settings(options, *connection, change, applying.consent);
}

int settings_delete(const Options& options, const Target& target, const Deletion& deletion)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    json::object how{{"hold", deletion.holds}};
    if (deletion.if_version)
        how.emplace("if_version", *deletion.if_version);
    const SettingsChange change{
        "deleting " + title_of(target),
        [&](Confirmed confirmed) {
            if (confirmed == Confirmed::yes)
                how["hold"] = true;
            return SettingsCall{
                fmt::format("SELECT jsonb_build_object('advice', mailroom.delete_{}($1, $2::jsonb))::text",
                            kind_in_database(target.kind)),
                pg::Params().text(target.code).text(json::serialize(how))};
        },
        [&](const json::value& result) {
            if (options.output == Output::json)
                print_json({{"deleted", title_of(target)}, {"advice", result.at("advice")}});
            else
                fmt::print("deleted {}{}\n", title_of(target), lines_of(result.at("advice")));
        }};
    return change_settings(options, *connection, change, deletion.consent);
}

int settings_copy(const Options& options, const std::vector<std::string>& words, Consent consent)
{
    const std::string& from = words.at(0);
    const std::string& to = words.at(1);
    const auto settings = assignments_json({words.begin() + 2, words.end()});
    if (!settings)
        return complain(options, settings.error().text, Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const SettingsChange change{
        "copying user " + from,
        [&](Confirmed) {
            return SettingsCall{"SELECT jsonb_build_object('advice', mailroom.copy_user($1, $2, $3::jsonb))::text",
                                pg::Params().text(from).text(to).text(json::serialize(*settings))};
        },
        [&](const json::value& result) {
            if (options.output == Output::json)
                print_json({{"copied", from}, {"to", to}, {"advice", result.at("advice")}});
            else
                fmt::print("copied user {} to {}, without secrets{}\n", from, to, lines_of(result.at("advice")));
        }};
    return change_settings(options, *connection, change, consent);
}

int settings_history(const Options& options, const Page& page)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    pg::Params params;
    params.number(page.limit);
    if (page.after > 0)
        params.number(page.after);
    else
        params.null();
    const auto changes = query_json(*connection, "settings_history", params);
    if (!changes)
        return complain(options, changes.error().text);
    if (options.output == Output::json) {
        print_json(*changes);
        return Exit::ok;
    }
    const json::array& all = changes->at("changes").as_array();
    if (all.empty())
        fmt::print("nothing was changed\n");
    for (const json::value& change : all)
        print_settings_change(change);
    if (!all.empty() && static_cast<std::int64_t>(all.size()) == page.limit)
        fmt::print("there may be older ones: --before {}\n", number_at(all.back(), "id"));
    return Exit::ok;
}

} // namespace mailroom::commands
