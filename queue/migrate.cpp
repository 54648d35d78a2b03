#include "queue/migrate.hpp"

#include "queue/embedded_sql.hpp"
#include "queue/sql.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mailroom::queue {
namespace {

constexpr auto migration_limit = std::chrono::minutes(10); // ours: an index on a large table

struct Migration {
    int version;
    std::string_view name;
    std::string_view sql;
};

std::vector<Migration> known_migrations()
{
    std::vector<Migration> known;
    for (const auto& file : embedded_sql()) {
        if (file.folder != "migrations")
            continue;
        int version = 0;
        std::from_chars(file.name.data(), file.name.data() + 4, version);
        known.push_back({version, file.name, file.text});
    }
    return known;
}

Error failed(std::string_view doing, const pg::DbError& error)
{
    if (error.sqlstate == "42501") // insufficient_privilege
        return Error{fmt::format("{}: {}. Run it as the database's owner, with CREATEROLE for the first time: "
                                 "--database 'host=... dbname=... user=...'",
                                 doing, error.text)};
    return Error{fmt::format("{}: {}", doing, pg::explain(error))};
}

Error newer(std::int64_t version)
{
    return Error{fmt::format("the database has schema version {}, this program knows {}: install the newer mailroom",
                             version, newest_schema())};
}

constexpr std::string_view prepare_sql = R"(
BEGIN;
SET LOCAL lock_timeout = '60s';
SELECT pg_advisory_xact_lock(7236829126401);
CREATE SCHEMA IF NOT EXISTS mailroom;
CREATE TABLE IF NOT EXISTS mailroom.migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp());
)";

// Undoes an open transaction unless it was committed.
class Transaction {
public:
    explicit Transaction(pg::Connection& connection) : connection_(connection) {}
    ~Transaction()
    {
        if (open_ && connection_.usable())
            static_cast<void>(connection_.script("ROLLBACK", std::chrono::seconds(5)));
    }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    pg::DbResult<void> commit()
    {
        auto done = connection_.script("COMMIT", migration_limit);
        open_ = !done;
        return done;
    }

private:
    pg::Connection& connection_;
    bool open_ = true;
};

Result<void> apply(pg::Connection& connection, const Migration& migration)
{
    if (auto done = connection.script(std::string(migration.sql), migration_limit); !done)
        return failed(fmt::format("migration {}", migration.name), done.error());
    const auto entered = connection.run(
        {"", "INSERT INTO mailroom.migrations (version, name, checksum) VALUES ($1::integer, $2, md5($3))"},
        pg::Params().number(migration.version).text(migration.name).text(migration.sql));
    if (!entered)
        return failed(fmt::format("migration {}", migration.name), entered.error());
    return {};
}

Result<void> check_unchanged(pg::Connection& connection, const Migration& migration)
{
    auto same = connection.run({"", "SELECT checksum = md5($2) FROM mailroom.migrations WHERE version = $1::integer"},
                               pg::Params().number(migration.version).text(migration.sql));
    if (!same)
        return failed("migrate", same.error());
    if (same->rows() == 0 || !same->truth(0, 0))
        return Error{fmt::format(
            "migration {} is not the one that this database was made with: it was made by another build of mailroom",
            migration.name)};
    return {};
}

// The name of the database's installation; none: not named yet.
pg::DbResult<std::string> installation_name(pg::Connection& connection)
{
    auto found = connection.run({"", "SELECT coalesce(name, '') FROM mailroom.installation"});
    if (!found)
        return found.error();
    return std::string(found->rows() > 0 ? found->text(0, 0) : "");
}

} // namespace

int newest_schema()
{
    return known_migrations().back().version;
}

Result<Migrated> migrate(pg::Connection& connection, std::string_view installation)
{
    auto encoding = connection.run({"", "SELECT current_setting('server_encoding'), current_database()::text"});
    if (!encoding)
        return failed("migrate", encoding.error());
    if (encoding->text(0, 0) != "UTF8")
        return Error{fmt::format("the database {} has the encoding {}; mailroom needs UTF8 (CREATE DATABASE ... "
                                 "ENCODING 'UTF8' TEMPLATE template0)",
                                 encoding->text(0, 1), encoding->text(0, 0))};
    Transaction transaction(connection);
    if (auto ready = connection.script(std::string(prepare_sql), migration_limit); !ready)
        return failed("migrate", ready.error());

    auto version = connection.run({"", "SELECT coalesce(max(version), 0) FROM mailroom.migrations"});
    if (!version)
        return failed("migrate", version.error());
    const auto found = version->number(0, 0);
    if (found > newest_schema())
        return newer(found);

    Migrated result;
    for (const auto& migration : known_migrations()) {
        if (migration.version <= found) {
            if (auto same = check_unchanged(connection, migration); !same)
                return same.error();
            continue;
        }
        if (auto done = apply(connection, migration); !done)
            return done.error();
        result.applied.emplace_back(migration.name);
    }
    if (auto named = connection.run(
            {"", "UPDATE mailroom.installation SET name = $1, server = mailroom.present_server() WHERE name IS NULL"},
            pg::Params().text(installation));
        !named)
        return failed("migrate", named.error());
    auto name = installation_name(connection);
    if (!name)
        return failed("migrate", name.error());
    result.installation = *name;
    if (auto done = transaction.commit(); !done)
        return failed("migrate", done.error());
    return result;
}

Result<void> check_version(std::int64_t version)
{
    if (version > newest_schema())
        return newer(version);
    if (version < newest_schema())
        return Error{fmt::format("the database has schema version {}, this program needs {}: run `mailroom migrate`",
                                 version, newest_schema())};
    return {};
}

Result<void> check_schema(pg::Connection& connection)
{
    auto found = connection.run({"", "SELECT max(version) FROM mailroom.migrations"});
    if (!found &&
        (found.error().sqlstate == "42P01" || found.error().sqlstate == "3F000")) // no such table, no such schema
        return Error{"the database " + connection.where() +
                     " has no mailroom schema: run `mailroom migrate` as its owner, or name the right database"};
    if (!found && found.error().sqlstate == "42501")
        return Error{"the login may not use mailroom in " + connection.where() +
                     ": grant it one of mailroom_producer, mailroom_mobile, mailroom_worker, mailroom_operator, "
                     "mailroom_administrator"};
    if (!found)
        return failed("reading the schema's version", found.error());
    return check_version(found->number(0, 0));
}

Result<void> check_installation(pg::Connection& connection, std::string_view installation)
{
    auto name = installation_name(connection);
    if (!name)
        return failed("reading the installation's name", name.error());
    if (*name != installation)
        return Error{fmt::format(
            "the database {} belongs to the installation \"{}\", the settings file says \"{}\": nothing is sent. If "
            "this database was "
            "copied or restored on purpose, run `mailroom adopt`; otherwise correct [database] or [installation] name",
            connection.where(), *name, installation)};
    return {};
}

pg::DbResult<bool> is_elsewhere(pg::Connection& connection)
{
    auto found = connection.run({"", "SELECT server <> mailroom.present_server() FROM mailroom.installation"});
    if (!found)
        return found.error();
    return found->rows() > 0 && found->truth(0, 0);
}

Result<Adopted> adopt(pg::Connection& connection, std::string_view installation)
{
    Transaction transaction(connection);
    if (auto begun = connection.script(
            "BEGIN; SET LOCAL lock_timeout = '60s'; LOCK TABLE mailroom.queue IN EXCLUSIVE MODE;", migration_limit);
        !begun)
        return failed("adopt", begun.error());
    auto previous = installation_name(connection);
    if (!previous)
        return failed("adopt", previous.error());
    Adopted result{*previous, 0, false};
    if (*previous != installation) {
        auto held = connection.run(sql("adopt"), pg::Params().text(installation).text(*previous), migration_limit);
        if (!held)
            return failed("adopt", held.error());
        result.held = held->number(0, 0);
    }
    const auto settled = connection.run({"", "UPDATE mailroom.installation SET server = mailroom.present_server() "
                                             "WHERE server IS DISTINCT FROM mailroom.present_server() RETURNING 1"});
    if (!settled)
        return failed("adopt", settled.error());
    result.was_elsewhere = settled->rows() > 0;
    if (auto done = transaction.commit(); !done)
        return failed("adopt", done.error());
    return result;
}

} // namespace mailroom::queue
