// The schema's versions: brings a database up to date, or says what is wrong with it. Safe when many run it at once.
#pragma once

#include "config/error.hpp"

#include "queue/pg/connection.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::queue {

int newest_schema(); // that this program knows

struct Migrated {
    std::vector<std::string> applied; // names, in order; empty: it was up to date
    std::string installation;
};

// Applies what is missing, all or nothing, and names the installation if it has no name yet. Refuses a schema that is
// newer than the program, a migration that was changed since it was applied, and a database that is not UTF-8.
Result<Migrated> migrate(pg::Connection& connection, std::string_view installation);

// Whether this program works with a schema of this version.
Result<void> check_version(std::int64_t version);

// What `serve` and the other commands ask first. The error says whether to migrate or to install a newer program.
Result<void> check_schema(pg::Connection& connection);

// The database's name of itself must be that of the settings file; otherwise nothing may be sent.
Result<void> check_installation(pg::Connection& connection, std::string_view installation);

// Whether the database was made or adopted on another server, or as another database of this one: it is a copy, or was
// moved. False also where this login may not see it.
pg::DbResult<bool> is_elsewhere(pg::Connection& connection);

struct Adopted {
    std::string previous;
    std::int64_t held = 0;      // messages that waited
    bool was_elsewhere = false; // until now
};

// Renames a database that was copied from another installation, and first holds all that waits (copied_from). It
// belongs where it is from now on.
Result<Adopted> adopt(pg::Connection& connection, std::string_view installation);

} // namespace mailroom::queue
