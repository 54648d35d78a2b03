#include "service/doctor/database.hpp"

#include "queue/migrate.hpp"
#include "service/commands/command.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace mailroom::doctor {
namespace {

namespace json = boost::json;
using commands::text_at;
using std::chrono::system_clock;

bool has(std::string_view text, std::string_view words)
{
    return text.find(words) != std::string_view::npos;
}

Finding about_encryption(const json::value& facts)
{
    const std::string tls = text_at(facts, "tls");
    std::string text = fmt::format("PostgreSQL {}{}, {}", text_at(facts, "version"),
                                   facts.at("in_recovery").as_bool() ? " (a standby)" : "",
                                   tls.empty() ? "not encrypted" : "encrypted by " + tls);
    if (tls.empty() && facts.at("distant").as_bool())
        return warning("server", "", text + ": what messages say can be read on the way",
                       "sslmode=verify-full (or require) in [database] connection");
    return fine("server", "", std::move(text));
}

Finding about_vacuum(const json::value& facts)
{
    if (!facts.at("autovacuum").as_bool())
        return problem("autovacuum", "", "it is off: the queue gets slower with every message",
                       "autovacuum = on and track_counts = on in postgresql.conf, then reload PostgreSQL");
    return fine("autovacuum", "", "it is on");
}

// A daemon has up to 8: its lanes, and those that wait for notifications.
Finding about_connections(const json::value& facts)
{
    const auto left = facts.at("connections_left").to_number<std::int64_t>();
    std::string text = fmt::format("{} of {} are free", left, text_at(facts, "max_connections"));
    if (left < 10)
        return warning("connections", "", std::move(text),
                       "end what is not needed, or raise max_connections of PostgreSQL");
    return fine("connections", "", std::move(text));
}

// Which commands a login with these roles can do.
Finding about_roles(const json::value& facts)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 3> work{{
        {"mailroom_worker", "serve"},
        {"mailroom_operator", "queue, list, show, retry, cancel, hold, release, reassign"},
        {"mailroom_administrator", "account, limit"},
    }};
    const std::string login = text_at(facts, "login");
    if (facts.at("is_owner").is_null())
        return not_checked("roles", login, "there is no mailroom schema");
    if (facts.at("is_owner").as_bool())
        return fine("roles", login, "it has the rights of the schema's owner: all commands will work");
    std::string may;
    std::string may_not;
    bool serves = false;
    for (const auto& [role, commands] : work) {
        const json::value name(json::string_view(role.data(), role.size()));
        const bool member = std::ranges::find(facts.at("roles").as_array(), name) != facts.at("roles").as_array().end();
        serves |= member && role == "mailroom_worker";
        (member ? may : may_not) += fmt::format("{}{}", (member ? may : may_not).empty() ? "" : ", ", commands);
    }
    std::string text;
    if (!may.empty())
        text = "may " + may;
    if (!may_not.empty())
        text += (text.empty() ? "may not " : "; may not ") + may_not;
    if (!serves)
        return problem("roles", login, std::move(text), fmt::format(R"(GRANT mailroom_worker TO "{}")", login));
    return fine("roles", login, std::move(text));
}

} // namespace

std::string remedy_of(std::string_view refusal)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 14> remedies{{
        {"password authentication failed", "correct user and password in [database] connection (or in PGPASSFILE), or "
                                           "store it in the server: ALTER ROLE ... PASSWORD ..."},
        {"no password supplied", "put the password into [database] connection, or into a file that PGPASSFILE names"},
        {"no pg_hba.conf entry",
         "let this host, login and database in by a line of pg_hba.conf, and reload PostgreSQL"},
        {"database \"", "correct dbname in [database] connection; or create the database, and run `mailroom migrate`"},
        {"role \"", "correct user in [database] connection, or make the login: CREATE ROLE ... LOGIN PASSWORD ..."},
        {"read-only", "connect to the primary; where it is this one, end default_transaction_read_only"},
        {"could not translate host name", "correct host in [database] connection, or this machine's DNS"},
        {"Connection refused", "start PostgreSQL there, let it listen (listen_addresses), or correct host and port in "
                               "[database] connection"},
        {"No such file or directory",
         "start PostgreSQL, or correct host in [database] connection: the folder of its socket"},
        {"no answer from", "look whether that machine is up and a firewall stands between, or correct host and port in "
                           "[database] connection"},
        {"too many", "end what is not needed, or raise max_connections of PostgreSQL"},
        {"connection slots", "end what is not needed, or raise max_connections of PostgreSQL"},
        {"starting up", "wait until PostgreSQL is up; its log says what it does"},
        {"SSL", "look at sslmode and sslrootcert in [database] connection"},
    }};
    const auto* const found =
        std::ranges::find_if(remedies, [&](const auto& remedy) { return has(refusal, remedy.first); });
    return std::string(found != remedies.end() ? found->second
                                               : "correct [database] connection; the log of PostgreSQL may say more");
}

Visit visit(pg::Source source)
{
    auto connected = pg::Connection::connect(source);
    if (connected) {
        Findings findings{fine("database", "", "connected to " + connected->where())};
        return {*std::move(connected), std::move(findings)};
    }
    const std::string words = pg::explain(connected.error());
    Visit result{std::nullopt, {problem("database", "", words, remedy_of(words))}};
    source.may_be_read_only = true;
    if (!has(words, "read-only"))
        return result;
    if (auto again = pg::Connection::connect(source))
        result.connection = *std::move(again);
    return result;
}

Findings examine_schema(pg::Connection& connection, std::string_view installation)
{
    if (const auto fits = queue::check_schema(connection); !fits)
        return {problem("schema", "", fits.error().text)};
    Findings findings{fine("schema", "", fmt::format("version {}", queue::newest_schema()))};
    if (const auto ours = queue::check_installation(connection, installation); !ours)
        findings.push_back(problem("installation", "", ours.error().text));
    else if (const auto elsewhere = queue::is_elsewhere(connection); elsewhere && *elsewhere)
        findings.push_back(warning(
            "installation", installation,
            "the database was made on another server, or as another database: it is a copy, or was moved. If the "
            "original still serves, both send the same mail",
            "for a copy: stop its service, give its settings file another [installation] name, and run `mailroom "
            "adopt`, which holds what waits. Once the original is out of use: `mailroom adopt`"));
    else
        findings.push_back(fine("installation", installation, "the same in the settings file and in the database"));
    return findings;
}

pg::DbResult<Clocks> compare_clocks(pg::Connection& connection)
{
    using std::chrono::microseconds;
    Clocks best{{}, microseconds::max()};
    for (int i = 0; i < 3; ++i) { // the quickest answer tells most
        const auto sent = std::chrono::time_point_cast<microseconds>(system_clock::now());
        const auto begun = std::chrono::steady_clock::now();
        auto answer = connection.run({"", "SELECT clock_timestamp()"});
        const auto took = std::chrono::duration_cast<microseconds>(std::chrono::steady_clock::now() - begun);
        if (!answer)
            return answer.error();
        if (took < best.round_trip)
            best = {answer->time(0, 0) - (sent + took / 2), took};
    }
    return best;
}

Finding about_clock(const Clocks& clocks)
{
    using std::chrono::duration;
    const auto apart = std::chrono::abs(clocks.ahead) - clocks.round_trip / 2; // for certain
    const double seconds = duration<double>(std::chrono::abs(clocks.ahead)).count();
    std::string text = fmt::format("the database's clock is {:.1f} s {} of this machine's", seconds,
                                   clocks.ahead.count() < 0 ? "behind" : "ahead");
    const char* const remedy =
        "let both keep time by NTP (timedatectl): certificates, the Date of messages and what is "
        "logged depend on it";
    if (apart > std::chrono::seconds(60))
        return problem("clock", "", std::move(text), remedy);
    if (apart > std::chrono::seconds(5))
        return warning("clock", "", std::move(text), remedy);
    return fine("clock", "", fmt::format("the database's and this machine's agree ({:.3f} s)", seconds));
}

Finding examine_room(pg::Connection& connection)
{
    constexpr const char* where = "the database";
    // A temporary table is nobody else's, and is not logged. It stands where the database's tables do.
    const auto written = connection.script(
        "BEGIN; SET LOCAL temp_tablespaces = ''; CREATE TEMPORARY TABLE mailroom_doctor ON COMMIT DROP "
        "AS SELECT repeat('x', 1000) FROM generate_series(1, 1000); ROLLBACK",
        pg::Connection::statement_limit);
    if (written)
        return fine("space", where, "it has room for what is written");
    if (connection.usable())
        static_cast<void>(connection.script("ROLLBACK", pg::Connection::statement_limit));
    if (written.error().sqlstate != commands::disk_full)
        return not_checked("space", where, written.error().text);
    return problem("space", where, "its disk is full: " + written.error().text, std::string(commands::if_disk_full));
}

Findings about_server(const json::value& facts)
{
    return {about_encryption(facts), about_roles(facts), about_connections(facts), about_vacuum(facts)};
}

} // namespace mailroom::doctor
