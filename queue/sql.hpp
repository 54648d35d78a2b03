// The statements of queue/sql by name.
#pragma once

#include "queue/pg/connection.hpp"

#include <string_view>

namespace mailroom::queue {

pg::Statement sql(std::string_view name); // a name that does not exist throws: a broken program

} // namespace mailroom::queue
