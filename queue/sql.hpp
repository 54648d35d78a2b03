// The statements of queue/sql by name.
#pragma once

#include "queue/pg/connection.hpp"

#include <chrono>
#include <cstdint>
#include <string_view>

namespace mailroom::queue {

pg::Statement sql(std::string_view name); // a name that does not exist throws: a broken program

// Of a statement that answers one row with one number.
pg::DbResult<std::int64_t> number_of(pg::Connection& connection, std::string_view name, const pg::Params& params,
                                     std::chrono::milliseconds limit = pg::Connection::statement_limit);

} // namespace mailroom::queue
