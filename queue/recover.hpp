// What is done once, by an operator, after the database was restored from a backup: messages that were sent since must
// not be sent again.
#pragma once

#include "config/error.hpp"

#include "queue/store.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::queue {

// What journals say of one message. The object is of a JSON array that the statement takes.
struct Recovery {
    std::vector<std::string> messages; // objects: uid, verdict (ended, in_doubt, unsent) and what became of it
    bool is_complete = false;          // there were no other journals: what they do not name was not sent
    DispatcherId newest_dispatcher = 0;
    MessageId newest_message = 0;
};

struct Recovered {
    std::int64_t ended = 0;    // the journals know how
    std::int64_t in_doubt = 0; // held for an operator
    std::int64_t waiting = 0;  // go on
    std::string unknown;       // a JSON array: uids that were sent since the backup and are not in the database
};

enum class Effect { none, lasting }; // none: it is undone at once, only to count

// Error also where a dispatcher still lives.
Result<Recovered> recover(pg::Connection& connection, const Recovery& recovery, const PlaceOfHold& doubt,
                          Effect effect);

} // namespace mailroom::queue
