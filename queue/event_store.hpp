// What operators are told: rows of mailroom.events, raised and ended. Functions on one connection, meant to run in a
// lane; each may be repeated, and several dispatchers may say the same.
#pragma once

#include "queue/store.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mailroom::queue {

struct RaisedEvent {
    std::string id;
    std::string subject;
    std::string severity; // warning or error
    std::string text;
    std::string remedy;
    std::chrono::milliseconds began{0};             // ago
    std::optional<std::chrono::milliseconds> ended; // ago: it is over, and was not told before
    std::optional<std::chrono::milliseconds> lasts; // it happened: told for so long
    bool of_dispatcher = false;                     // over when no dispatcher sees it any more
};

struct EndedEvent {
    std::string id;
    std::string subject;
    std::chrono::milliseconds ended{0}; // ago
};

// Of this kind the dispatcher knows no others.
struct OnlyEvents {
    std::string id;
    std::vector<std::string> subjects;
};

// In this order.
struct EventChanges {
    std::vector<EndedEvent> ended;
    std::vector<RaisedEvent> raised;
    std::vector<OnlyEvents> only;

    bool empty() const { return ended.empty() && raised.empty() && only.empty(); }
};

struct ToldEvent {
    std::string id;
    std::string subject;
    std::string text;
    std::string remedy;
};

// What nobody had told or ended before.
struct ToldEvents {
    std::vector<ToldEvent> raised;
    std::vector<ToldEvent> ended;
    bool is_listed = true; // false: the dispatcher is taken for dead, and what it raised was not written
};

pg::DbResult<ToldEvents> tell(pg::Connection& connection, DispatcherId dispatcher, const EventChanges& changes);

// Those that ended so long ago; how many.
pg::DbResult<std::int64_t> forget_events(pg::Connection& connection, std::chrono::milliseconds retention);

struct Undecided {
    std::int64_t in_doubt = 0; // both counted up to 1,001
    std::int64_t quarantined = 0;
};

// Messages that wait for an operator.
pg::DbResult<Undecided> undecided(pg::Connection& connection);

} // namespace mailroom::queue
