// The statements that clear away and keep watch: one bounded step each, meant for a lane where nothing else waits. What
// decides about messages (reaping, releases, expiry) is in queue/store.
#pragma once

#include "queue/pg/connection.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mailroom::queue {

enum class Ring { content, history };
std::string_view name_of(Ring ring); // as in mailroom.generation

struct Turn {
    std::optional<std::int64_t> opened; // the generation that is written to from now on
    bool stuck = false;                 // it is time for a new one, but none is empty
};

pg::DbResult<Turn> turn_ring(pg::Connection& connection, Ring ring, std::chrono::milliseconds retention);

// The generation that was emptied; none: there was none to empty, or somebody uses it.
pg::DbResult<std::optional<std::int64_t>> empty_generation(pg::Connection& connection, Ring ring,
                                                           std::chrono::milliseconds retention);

struct Unpinned {
    std::int64_t messages = 0; // 0: there are no more
    std::int64_t last = 0;     // `after` of the next step
};

// Moves the content of up to 1,000 messages (64 MiB) with ids above `after` to the open generation, where empty ones
// are scarce.
pg::DbResult<Unpinned> unpin_generation(pg::Connection& connection, std::chrono::milliseconds retention,
                                        std::int64_t after);

// Both return how many rows are gone.
pg::DbResult<std::int64_t> forget_keys(pg::Connection& connection, std::chrono::milliseconds retention, int most);
pg::DbResult<std::int64_t> forget_small(pg::Connection& connection);

pg::DbResult<void> unpark(pg::Connection& connection); // forgets that messages stood at a route where none does

struct DeadRows {
    std::int64_t count = 0;
    bool wants_vacuum = false; // autovacuum does not keep up
    bool may_vacuum = false;   // this login has the rights of the table's owner
    std::string owner;
};

pg::DbResult<DeadRows> dead_rows(pg::Connection& connection);
pg::DbResult<void> vacuum(pg::Connection& connection); // of the queue; nothing if one is running

// What keeps dead rows from being removed.
struct Pin {
    std::string name; // the same for as long as the same thing pins
    std::string text;
    std::string remedy;
    std::optional<std::chrono::seconds> age; // none: this login may not see it
    std::string subject;                     // for people: transaction pid 4711
    std::int64_t transactions = 0;           // so many began since
};

pg::DbResult<std::vector<Pin>> pins(pg::Connection& connection);

} // namespace mailroom::queue
