// One connection to PostgreSQL, used by one thread, every wait within a deadline. The only place that knows libpq.
// It does not reconnect and does not retry: its owner does (queue/database_lane).
#pragma once

#include "queue/pg/result.hpp"
#include "queue/pg/wait.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

struct pg_conn;

namespace mailroom::pg {

// Where the database is: a libpq connection string (keywords or URI, several hosts allowed).
struct Source {
    std::string connection;
    std::string application_name = "mailroom";
    std::string session_settings = {}; // as in PGOPTIONS: -c name=value ...
    bool pooled = false; // by a PgBouncer in transaction mode: nothing is prepared, and no setting outlives a statement
    bool may_be_read_only = false; // a server that takes no writes will do, to look at
};

// What a connection string says, as far as it can be told before connecting.
struct Target {
    std::vector<std::string> hosts; // by name or address, also $PGHOST's; no socket's
    bool has_password = false;      // in the string itself
};
Target target_of(const std::string& connection);

struct Statement {
    std::string_view name; // of the prepared statement; empty: not prepared
    std::string_view sql;
};

struct Notification {
    std::string channel;
    std::string payload;
};

class Connection {
public:
    static constexpr auto connect_limit = std::chrono::seconds(10);
    static constexpr auto statement_limit = std::chrono::seconds(5);

    // Connects to a server that takes writes; the session speaks UTF-8 and UTC. Of several servers each has its share
    // of the limit.
    static DbResult<Connection> connect(const Source& source, const StopEvent* stop = nullptr,
                                        std::chrono::milliseconds limit = connect_limit);

    // One statement. Past its limit the connection is broken and must not be used again.
    DbResult<Result> run(const Statement& statement, const Params& params = {},
                         std::chrono::milliseconds limit = statement_limit);

    // Several statements without parameters, as in a migration.
    DbResult<void> script(const std::string& sql, std::chrono::milliseconds limit);

    // Waits for notifications until one arrives or the limit is over; an empty list is none.
    DbResult<std::vector<Notification>> notifications(std::chrono::milliseconds limit);

    bool usable() const { return handle_ != nullptr && !broken_; }
    std::string where() const; // host:port/database as user, for messages

private:
    using Handle = std::unique_ptr<pg_conn, void (*)(pg_conn*)>;

    Connection(Handle handle, const StopEvent* stop);
    static DbResult<Connection> connect_to(const Source& source, const std::string& host, const std::string& address,
                                           const std::string& port, const StopEvent* stop,
                                           std::chrono::milliseconds limit);
    DbError fail(DbError::Kind kind, std::string text);
    DbResult<void> flush(Clock::time_point deadline);
    DbResult<Result> last_result(Clock::time_point deadline);
    DbResult<void> prepare(const Statement& statement, Clock::time_point deadline);

    Handle handle_;
    const StopEvent* stop_;
    bool broken_ = false;
    bool prepares_ = true;
    std::unordered_set<std::string_view> prepared_; // names are of static statements
};

} // namespace mailroom::pg
