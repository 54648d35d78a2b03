// What every command shares: the settings file, the database, and how results and errors are shown.
#pragma once

#include "config/error.hpp"
#include "config/service_file.hpp"
#include "config/text.hpp"

#include "queue/pg/connection.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::commands {

// Exit codes, the same for all commands.
enum Exit : int {
    ok = 0,
    failed = 1,       // an error, said on standard error
    usage = 2,        // the command line or the settings file is wrong
    held = 3,         // send --wait: the message is held
    not_sent = 4,     // send --wait: it failed or expired
    in_doubt = 5,     // send --wait: its outcome is unknown
    still_waiting = 6 // send --wait: not at its end within the time
};

enum class Output { text, json };

struct Options {
    std::string config_path;
    std::string database; // overrides the settings file's
    Output output = Output::text;
};

// Shows an error where people and programs look for it, and gives the exit code back.
int complain(const Options& options, std::string_view text, Exit code = Exit::failed);

// Why there is no connection: a wrong settings file is not the database's fault.
struct NotConnected {
    std::string text;
    Exit code = Exit::failed;
};
using Connected = boost::system::result<pg::Connection, NotConnected>;
int complain(const Options& options, const NotConnected& reason);

// The settings file. Where only the database is needed and --database names it, the file may be missing.
Result<ServiceFile> settings(const Options& options);

// A connection to a database with the right schema.
Connected connect(const Options& options);
Connected connect_unchecked(const Options& options); // for migrate

inline constexpr auto search_limit = std::chrono::seconds(60); // ours: of what reads the whole queue

// One of our functions or statements, written out. As query_json, but the caller sees what the server refused.
pg::DbResult<boost::json::value> call_json(pg::Connection& connection, std::string_view sql, const pg::Params& params,
                                           std::chrono::milliseconds limit);

// One statement whose single value is JSON text; null where it has no row.
Result<boost::json::value> query_json(pg::Connection& connection, std::string_view statement,
                                      const pg::Params& params = {});

inline constexpr std::string_view disk_full = "53100"; // SQLSTATE
inline constexpr std::string_view if_disk_full =
    "make room where PostgreSQL has its data (SHOW data_directory): files that are not its own, old logs, WAL that a "
    "replication slot keeps (pg_replication_slots); never delete a file of its own";

// The error of a database call, in words for people.
Error explained(std::string_view doing, const pg::DbError& error);

// name=value ... as an object of texts.
Result<boost::json::object> assignments_json(const std::vector<std::string>& assignments);

bool is_uuid(std::string_view text);
void print_json(const boost::json::value& value);
std::string text_at(const boost::json::value& object, std::string_view key);    // missing, null: empty; numbers as text
std::int64_t number_at(const boost::json::value& object, std::string_view key); // missing, null: 0
std::string short_time(std::string_view timestamp);                             // 2026-11-23 15:04:05Z
std::string span_of(std::int64_t seconds);                                      // 59 s, 90 min, 3 h, 2 days

} // namespace mailroom::commands
