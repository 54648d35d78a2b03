#include "queue/pg/connection.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace mailroom::pg {
namespace {

std::string one_line(const char* text)
{
    std::string line = text ? text : "";
    while (!line.empty() && line.back() == '\n')
        line.pop_back();
    return line;
}

std::string field(const PGresult* result, int code)
{
    const char* text = PQresultErrorField(result, code);
    return text ? text : "";
}

DbError refusal(const PGresult* result)
{
    return {DbError::Kind::refused, field(result, PG_DIAG_MESSAGE_PRIMARY), field(result, PG_DIAG_SQLSTATE),
            field(result, PG_DIAG_MESSAGE_DETAIL), field(result, PG_DIAG_MESSAGE_HINT)};
}

bool succeeded(const PGresult* result)
{
    const auto status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

// libpq's arrays of parameters, valid as long as the Params are.
struct Bound {
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;

    explicit Bound(const Params& params)
    {
        for (const auto& value : params.values()) {
            values.push_back(value.is_null ? nullptr : value.octets.c_str());
            lengths.push_back(static_cast<int>(value.octets.size()));
            formats.push_back(value.is_binary ? 1 : 0);
        }
    }
    int size() const { return static_cast<int>(values.size()); }
};

constexpr int binary_results = 1;

} // namespace

std::string explain(const DbError& error)
{
    std::string text = error.text;
    if (!error.detail.empty() && error.detail.front() != '[') // ours is JSON, for programs
        text += "\n  " + error.detail;
    if (!error.hint.empty())
        text += "\n  " + error.hint;
    return text;
}

Target target_of(const std::string& connection)
{
    Target target;
    const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
        PQconninfoParse(connection.c_str(), nullptr), &PQconninfoFree);
    std::string hosts;
    for (const auto* option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
        const std::string_view keyword = option->keyword;
        if (option->val == nullptr)
            continue;
        target.has_password |= keyword == "password";
        if (keyword == "hostaddr" || (keyword == "host" && hosts.empty())) // the address goes before the name
            hosts = option->val;
    }
    if (const char* const fallback = std::getenv("PGHOST"); hosts.empty() && fallback != nullptr)
        hosts = fallback;
    std::size_t begin = 0;
    while (begin < hosts.size()) {
        const std::size_t end = std::min(hosts.find(',', begin), hosts.size());
        if (const std::string host = hosts.substr(begin, end - begin);
            !host.empty() && host[0] != '/' && host[0] != '@')
            target.hosts.push_back(host);
        begin = end + 1;
    }
    return target;
}

Connection::Connection(Handle handle, const StopEvent* stop) : handle_(std::move(handle)), stop_(stop) {}

DbError Connection::fail(DbError::Kind kind, std::string text)
{
    broken_ = true;
    return {kind, std::move(text), {}, {}, {}};
}

namespace {

// The servers of a connection string that names several, each as keywords that go before those of the string; one that
// is empty: the string as it is.
struct Server {
    std::string host;
    std::string address;
    std::string port;
};

std::vector<std::string> listed(const std::string& text)
{
    std::vector<std::string> items;
    std::size_t begin = 0;
    for (std::size_t end = text.find(','); end != std::string::npos; begin = end + 1, end = text.find(',', begin))
        items.push_back(text.substr(begin, end - begin));
    items.push_back(text.substr(begin));
    return items;
}

std::vector<Server> servers_of(const std::string& connection)
{
    const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(
        PQconninfoParse(connection.c_str(), nullptr), &PQconninfoFree);
    const auto items = [&options](std::string_view keyword) {
        for (const auto* option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
            if (keyword == option->keyword && option->val != nullptr)
                return listed(option->val);
        }
        return std::vector<std::string>{""};
    };
    const auto hosts = items("host");
    const auto addresses = items("hostaddr");
    const auto ports = items("port");
    const std::size_t count = std::max(hosts.size(), addresses.size());
    const auto fits = [count](const auto& list) {
        return list.size() == count || (list.size() == 1 && list[0].empty());
    };
    if (count < 2 || !fits(hosts) || !fits(addresses) || !(fits(ports) || ports.size() == 1))
        return {Server{}}; // one, or libpq says what is wrong with them
    std::vector<Server> servers;
    for (std::size_t i = 0; i < count; ++i) {
        const auto of = [i](const auto& list) { return list.size() == 1 ? list[0] : list[i]; };
        servers.push_back({of(hosts), of(addresses), of(ports)});
    }
    return servers;
}

} // namespace

// Several servers share the limit: libpq would spend all of it on a first one that keeps silent, as a machine without
// power does, and never come to the others.
DbResult<Connection> Connection::connect(const Source& source, const StopEvent* stop, std::chrono::milliseconds limit)
{
    const auto servers = servers_of(source.connection);
    const auto deadline = Clock::now() + limit;
    std::string failures;
    for (std::size_t i = 0; i < servers.size(); ++i) {
        const auto left = deadline - Clock::now();
        const auto share = std::chrono::ceil<std::chrono::milliseconds>(left / static_cast<int>(servers.size() - i));
        auto connected = connect_to(source, servers[i].host, servers[i].address, servers[i].port, stop, share);
        if (connected || connected.error().kind == DbError::Kind::stopped)
            return connected;
        failures += (failures.empty() ? "" : "; ") + connected.error().text;
    }
    return DbError{DbError::Kind::unreachable, failures, {}, {}, {}};
}

DbResult<Connection> Connection::connect_to(const Source& source, const std::string& host, const std::string& address,
                                            const std::string& port, const StopEvent* stop,
                                            std::chrono::milliseconds limit)
{
    // A pooler would refuse them; there the login's role has them (docs/configuration.md).
    const std::string settings =
        source.pooled ? ""
                      : "-c timezone=UTC -c lock_timeout=1s -c idle_in_transaction_session_timeout=10s " +
                            source.session_settings;
    // What comes later goes before what the connection string says, unless it is empty.
    const std::array<const char*, 11> keywords{"dbname",
                                               "fallback_application_name",
                                               "client_encoding",
                                               "target_session_attrs",
                                               "options",
                                               "keepalives_idle",
                                               "tcp_user_timeout",
                                               "host",
                                               "hostaddr",
                                               "port",
                                               nullptr};
    const std::array<const char*, 11> values{source.connection.c_str(),
                                             source.application_name.c_str(),
                                             "UTF8",
                                             source.may_be_read_only ? "any" : "read-write",
                                             settings.c_str(),
                                             "30",
                                             "30000",
                                             host.c_str(),
                                             address.c_str(),
                                             port.c_str(),
                                             nullptr};
    const auto deadline = Clock::now() + limit;
    Connection connection(Handle(PQconnectStartParams(keywords.data(), values.data(), 1), &PQfinish), stop);
    PGconn* const pg = connection.handle_.get();
    if (pg == nullptr)
        return DbError{DbError::Kind::unreachable, "out of memory while connecting to the database", {}, {}, {}};
    // libpq's own notices (IF NOT EXISTS and the like) are for nobody.
    PQsetNoticeProcessor(
        pg, [](void*, const char*) {}, nullptr);
    auto polled = PQstatus(pg) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (polled != PGRES_POLLING_OK && polled != PGRES_POLLING_FAILED) {
        const auto interest = polled == PGRES_POLLING_WRITING ? Interest::read_write : Interest::read;
        const auto waited = wait(PQsocket(pg), interest, deadline, stop);
        if (waited == Waited::stopped)
            return connection.fail(DbError::Kind::stopped, "stopped while connecting to the database");
        if (waited == Waited::timed_out || waited == Waited::failed)
            return DbError{DbError::Kind::unreachable,
                           fmt::format("no answer from the database {} within {:.0f} s", connection.where(),
                                       std::chrono::duration<double>(limit).count()),
                           {},
                           {},
                           {}};
        polled = PQconnectPoll(pg);
    }
    if (polled == PGRES_POLLING_FAILED)
        return DbError{
            DbError::Kind::unreachable, "cannot connect to the database: " + one_line(PQerrorMessage(pg)), {}, {}, {}};
    PQsetnonblocking(pg, 1);
    connection.prepares_ = !source.pooled;
    return connection;
}

std::string Connection::where() const
{
    const auto or_none = [](const char* text) { return text != nullptr && *text != '\0' ? text : "?"; };
    return fmt::format("{}:{}/{} as {}", or_none(PQhost(handle_.get())), or_none(PQport(handle_.get())),
                       or_none(PQdb(handle_.get())), or_none(PQuser(handle_.get())));
}

DbResult<void> Connection::flush(Clock::time_point deadline)
{
    PGconn* const pg = handle_.get();
    for (;;) {
        const int left = PQflush(pg);
        if (left == 0)
            return {};
        if (left < 0)
            return fail(DbError::Kind::lost, "the connection to the database is lost: " + one_line(PQerrorMessage(pg)));
        const auto waited = wait(PQsocket(pg), Interest::read_write, deadline, stop_);
        if (waited == Waited::readable && PQconsumeInput(pg) == 0)
            return fail(DbError::Kind::lost, "the connection to the database is lost: " + one_line(PQerrorMessage(pg)));
        if (waited == Waited::stopped)
            return fail(DbError::Kind::stopped, "stopped in the middle of a statement");
        if (waited == Waited::timed_out || waited == Waited::failed)
            return fail(DbError::Kind::timed_out, "the database took no statement within its time limit");
    }
}

// Reads results until the server is ready again; the last one, or the first refusal, is the answer.
DbResult<Result> Connection::last_result(Clock::time_point deadline)
{
    PGconn* const pg = handle_.get();
    Result last(nullptr);
    std::optional<DbError> refused;
    for (;;) {
        while (PQisBusy(pg) != 0) {
            const auto waited = wait(PQsocket(pg), Interest::read, deadline, stop_);
            if (waited == Waited::stopped)
                return fail(DbError::Kind::stopped, "stopped in the middle of a statement");
            if (waited == Waited::timed_out || waited == Waited::failed)
                return fail(DbError::Kind::timed_out, "the database gave no answer within the statement's time limit");
            if (PQconsumeInput(pg) == 0)
                return fail(DbError::Kind::lost,
                            "the connection to the database is lost: " + one_line(PQerrorMessage(pg)));
        }
        PGresult* const raw = PQgetResult(pg);
        if (raw == nullptr)
            break;
        last = Result(raw);
        if (!succeeded(raw) && !refused)
            refused = refusal(raw);
    }
    if (PQstatus(pg) == CONNECTION_BAD)
        return fail(DbError::Kind::lost,
                    "the connection to the database is lost: " +
                        (refused && !refused->text.empty() ? refused->text : one_line(PQerrorMessage(pg))));
    if (refused)
        return *std::move(refused);
    return last;
}

DbResult<void> Connection::prepare(const Statement& statement, Clock::time_point deadline)
{
    PGconn* const pg = handle_.get();
    const std::string name(statement.name);
    const std::string sql(statement.sql);
    if (PQsendPrepare(pg, name.c_str(), sql.c_str(), 0, nullptr) == 0)
        return fail(DbError::Kind::lost, one_line(PQerrorMessage(pg)));
    if (auto sent = flush(deadline); !sent)
        return sent.error();
    if (auto done = last_result(deadline); !done)
        return done.error();
    prepared_.insert(statement.name);
    return {};
}

DbResult<Result> Connection::run(const Statement& statement, const Params& params, std::chrono::milliseconds limit)
{
    PGconn* const pg = handle_.get();
    const auto deadline = Clock::now() + limit;
    const Bound bound(params);
    int sent = 0;
    if (statement.name.empty() || !prepares_) {
        const std::string sql(statement.sql);
        sent = PQsendQueryParams(pg, sql.c_str(), bound.size(), nullptr, bound.values.data(), bound.lengths.data(),
                                 bound.formats.data(), binary_results);
    } else {
        if (!prepared_.contains(statement.name)) {
            if (auto ready = prepare(statement, deadline); !ready)
                return ready.error();
        }
        const std::string name(statement.name);
        sent = PQsendQueryPrepared(pg, name.c_str(), bound.size(), bound.values.data(), bound.lengths.data(),
                                   bound.formats.data(), binary_results);
    }
    if (sent == 0)
        return fail(DbError::Kind::lost, "the connection to the database is lost: " + one_line(PQerrorMessage(pg)));
    if (auto flushed = flush(deadline); !flushed)
        return flushed.error();
    return last_result(deadline);
}

DbResult<void> Connection::script(const std::string& sql, std::chrono::milliseconds limit)
{
    const auto deadline = Clock::now() + limit;
    if (PQsendQuery(handle_.get(), sql.c_str()) == 0)
        return fail(DbError::Kind::lost,
                    "the connection to the database is lost: " + one_line(PQerrorMessage(handle_.get())));
    if (auto flushed = flush(deadline); !flushed)
        return flushed.error();
    auto result = last_result(deadline);
    if (!result)
        return result.error();
    return {};
}

DbResult<std::vector<Notification>> Connection::notifications(std::chrono::milliseconds limit)
{
    PGconn* const pg = handle_.get();
    const auto deadline = Clock::now() + limit;
    std::vector<Notification> found;
    for (;;) {
        if (PQconsumeInput(pg) == 0)
            return fail(DbError::Kind::lost, "the connection to the database is lost: " + one_line(PQerrorMessage(pg)));
        while (PGnotify* const raw = PQnotifies(pg)) {
            found.push_back({raw->relname, raw->extra});
            PQfreemem(raw);
        }
        if (!found.empty())
            return found;
        const auto waited = wait(PQsocket(pg), Interest::read, deadline, stop_);
        if (waited == Waited::timed_out)
            return found;
        if (waited == Waited::stopped)
            return fail(DbError::Kind::stopped, "stopped");
        if (waited == Waited::failed)
            return fail(DbError::Kind::lost, "cannot wait for the database");
    }
}

// ---- results: in this file because they are libpq's too

Result::Result(pg_result* result) : result_(result, &PQclear) {}

int Result::rows() const
{
    return PQntuples(result_.get());
}

bool Result::is_null(int row, int column) const
{
    return PQgetisnull(result_.get(), row, column) != 0;
}

std::string_view Result::text(int row, int column) const
{
    return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::int64_t Result::number(int row, int column) const
{
    if (is_null(row, column))
        return 0;
    const std::string_view value = text(row, column); // network byte order
    if (value.size() != 2 && value.size() != 4 && value.size() != 8)
        throw std::logic_error(fmt::format("column {} is not a number", column));
    std::uint64_t bits = static_cast<signed char>(value.front()) < 0 ? ~std::uint64_t{0} : 0;
    for (const char c : value)
        bits = bits << 8 | static_cast<unsigned char>(c);
    return static_cast<std::int64_t>(bits);
}

std::optional<std::int64_t> Result::optional_number(int row, int column) const
{
    return is_null(row, column) ? std::nullopt : std::optional(number(row, column));
}

bool Result::truth(int row, int column) const
{
    return !is_null(row, column) && text(row, column).front() != 0;
}

Timestamp Result::time(int row, int column) const
{
    constexpr auto epoch_of_postgres = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);
    return Timestamp(epoch_of_postgres) + std::chrono::microseconds(number(row, column));
}

std::vector<std::uint8_t> Result::bytes(int row, int column) const
{
    const std::string_view value = text(row, column);
    return {value.begin(), value.end()};
}

} // namespace mailroom::pg
