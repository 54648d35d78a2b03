// The database as a server: whether it can be reached, whose time it has, what this login may do, whether the schema
// and the installation are ours. `config check` uses some of it.
#pragma once

#include "queue/pg/connection.hpp"
#include "service/doctor/finding.hpp"

#include <boost/json/value.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::doctor {

struct Visit {
    std::optional<pg::Connection> connection; // also to a server that takes no writes, which is a problem
    Findings findings;
};
Visit visit(pg::Source source);

std::string remedy_of(std::string_view refusal); // of a connection, in libpq's or the server's words

// Problems end with the first: without a schema there is no installation to compare.
Findings examine_schema(pg::Connection& connection, std::string_view installation);

struct Clocks {
    std::chrono::microseconds ahead{};      // the database's, of this machine's; less than 0: behind
    std::chrono::microseconds round_trip{}; // within which nothing can be told
};
pg::DbResult<Clocks> compare_clocks(pg::Connection& connection);
Finding about_clock(const Clocks& clocks); // 5 s is a warning, 60 s a problem, both ours

// Whether the database has room for a MiB, which is taken and given back at once.
Finding examine_room(pg::Connection& connection);

Findings about_server(const boost::json::value& facts); // queue/sql/doctor_server.sql

} // namespace mailroom::doctor
