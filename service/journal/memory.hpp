// What all journals of some folders together say of messages since a backup (commands/recover), and whether they know
// more than the database does. Reads files that are done with as well, and those of living dispatchers.
#pragma once

#include "queue/recover.hpp"

#include <string>
#include <vector>

namespace mailroom::journal {

struct Memory {
    queue::Recovery recovery;
    int files = 0;
    std::vector<std::string> problems; // files that could not be read, and why
};

Memory remember(const std::vector<std::string>& folders, const std::string& database);

// The words say how it is known that the database is older than the journals of the folder; empty: it is not known.
// Looks at the newest of them only.
pg::DbResult<std::string> proof_of_restore(pg::Connection& connection, const std::string& folder);

} // namespace mailroom::journal
