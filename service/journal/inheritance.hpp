// What dead dispatchers of this machine left in the folder of journals is written to the database, before this one
// enrols and every now and then, and told.
#pragma once

#include "service/events.hpp"
#include "service/journal/replay.hpp"

#include <string>

namespace mailroom {

class Inheritance {
public:
    // No folder: there is nothing to inherit.
    Inheritance(std::string folder, Events& events) : folder_(std::move(folder)), events_(events) {}

    // In the thread of a lane.
    pg::DbResult<journal::Replay> take(pg::Connection& connection) const;
    // Not empty: the journals know more of this database than it does. It was restored from a backup.
    pg::DbResult<std::string> proof_of_restore(pg::Connection& connection) const;

    // On the thread of the coroutines.
    void tell(const journal::Replay& replay);

private:
    const std::string folder_;
    Events& events_;
};

} // namespace mailroom
