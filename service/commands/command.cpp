#include "service/commands/command.hpp"

#include "queue/migrate.hpp"
#include "queue/sql.hpp"
#include "service/settings_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace mailroom::commands {

namespace json = boost::json;

int complain(const Options& options, std::string_view text, Exit code)
{
    if (options.output == Output::json)
        print_json({{"error", std::string(text)}, {"exit_code", static_cast<int>(code)}});
    fmt::print(stderr, "mailroom: {}\n", text);
    return code;
}

int complain(const Options& options, const NotConnected& reason)
{
    return complain(options, reason.text, reason.code);
}

Result<ServiceFile> settings(const Options& options)
{
    auto file = load_service_file(options.config_path);
    if (!file) {
        std::string text = file.error().size() == 1
                               ? file.error().front()
                               : fmt::format("{} problems in the settings file", file.error().size());
        for (std::size_t i = 0; file.error().size() > 1 && i < file.error().size(); ++i)
            text += "\n  " + file.error()[i];
        return Error{text};
    }
    if (!options.database.empty())
        file->database.connection = options.database;
    return *std::move(file);
}

Connected connect_unchecked(const Options& options)
{
    pg::Source source{options.database, "mailroom"};
    if (source.connection.empty()) {
        auto file = settings(options);
        if (!file)
            return NotConnected{file.error().text, Exit::usage};
        source.connection = file->database.connection;
        source.pooled = file->database.pooled;
    }
    auto connected = pg::Connection::connect(source);
    if (!connected)
        return NotConnected{pg::explain(connected.error())};
    return *std::move(connected);
}

Connected connect(const Options& options)
{
    auto connection = connect_unchecked(options);
    if (!connection)
        return connection.error();
    if (auto fits = queue::check_schema(*connection); !fits)
        return NotConnected{fits.error().text};
    return connection;
}

Error explained(std::string_view doing, const pg::DbError& error)
{
    if (error.sqlstate == "42501") // insufficient_privilege
        return Error{fmt::format("{}: {}. The login lacks the role for this (see \"Roles\" in docs/configuration.md)",
                                 doing, error.text)};
    if (error.sqlstate == disk_full)
        return Error{fmt::format("{}: the database's disk is full: {}. {}", doing, error.text, if_disk_full)};
    return Error{fmt::format("{}: {}", doing, pg::explain(error))};
}

pg::DbResult<json::value> call_json(pg::Connection& connection, std::string_view sql, const pg::Params& params,
                                    std::chrono::milliseconds limit)
{
    auto rows = connection.run({"", sql}, params, limit);
    if (!rows)
        return rows.error();
    if (rows->rows() == 0 || rows->is_null(0, 0))
        return json::value(nullptr);
    const std::string_view text = rows->text(0, 0);
    return json::parse(json::string_view(text.data(), text.size()));
}

Result<json::value> query_json(pg::Connection& connection, std::string_view statement, const pg::Params& params)
{
    auto rows = connection.run(queue::sql(statement), params, std::chrono::seconds(30));
    if (!rows)
        return explained(statement, rows.error());
    if (rows->rows() == 0 || rows->is_null(0, 0))
        return json::value(nullptr);
    const std::string_view text = rows->text(0, 0);
    return json::parse(json::string_view(text.data(), text.size()));
}

Result<json::object> assignments_json(const std::vector<std::string>& assignments)
{
    json::object values;
    for (const auto& assignment : assignments) {
        const auto equals = assignment.find('=');
        if (equals == std::string::npos)
            return Error{fmt::format("\"{}\" is not of the form name=value", assignment)};
        values.emplace(assignment.substr(0, equals), assignment.substr(equals + 1));
    }
    if (!secrets_in(values).empty())
        return Error{"a secret is no setting: everybody on this machine sees options. `mailroom account password` asks "
                     "for it, and a test with --password; what was typed here is known now, change it"};
    return values;
}

bool is_uuid(std::string_view text)
{
    constexpr std::string_view pattern = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";
    const auto fits = [](char c, char wanted) {
        const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        return wanted == '-' ? c == '-' : digit;
    };
    return std::ranges::equal(text, pattern, fits);
}

void print_json(const json::value& value)
{
    fmt::print("{}\n", json::serialize(value));
    std::fflush(stdout);
}

std::string text_at(const json::value& object, std::string_view key)
{
    const json::value* found = object.as_object().if_contains(json::string_view(key.data(), key.size()));
    if (found == nullptr || found->is_null())
        return {};
    if (const json::string* text = found->if_string())
        return {text->data(), text->size()};
    return json::serialize(*found);
}

std::int64_t number_at(const json::value& object, std::string_view key)
{
    const json::value* const found = object.as_object().if_contains(json::string_view(key.data(), key.size()));
    return found == nullptr || found->is_null() ? 0 : found->to_number<std::int64_t>();
}

std::string short_time(std::string_view timestamp)
{
    if (timestamp.size() < 19)
        return std::string(timestamp);
    return fmt::format("{} {}Z", timestamp.substr(0, 10), timestamp.substr(11, 8)); // sessions speak UTC
}

std::string span_of(std::int64_t seconds)
{
    if (seconds < 120)
        return fmt::format("{} s", std::max<std::int64_t>(seconds, 0));
    if (seconds < 2 * 3600)
        return fmt::format("{} min", seconds / 60);
    return seconds < 48 * 3600 ? fmt::format("{} h", seconds / 3600) : fmt::format("{} days", seconds / 86400);
}

} // namespace mailroom::commands
