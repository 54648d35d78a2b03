// Routes in the database: one place for each sending account. Where its messages wait when it is full, limited or
// blocked; who owns it where its limits hold across dispatchers; how many recipients it was granted.
#pragma once

#include "queue/store.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace mailroom::queue {

struct RoutePlace {
    std::string key;     // smtp/host:port/login
    std::string account; // for people
    std::string owner;   // whose settings concern it: general, user:12
    bool limited = false;
};
pg::DbResult<PlaceId> place_of(pg::Connection& connection, const RoutePlace& route);

// A route at which messages may stand.
struct WaitingRoute {
    enum class OwnedBy { nobody, us, another };
    PlaceId place = unsorted;
    std::string key;
    std::chrono::milliseconds blocked_for{0}; // 0: not blocked
    std::string blocked_why;
    OwnedBy owned_by = OwnedBy::nobody;
};
pg::DbResult<std::vector<WaitingRoute>> waiting_routes(pg::Connection& connection, DispatcherId dispatcher);

// True where the dispatcher owns the route now; false: another live one does.
pg::DbResult<bool> own_route(pg::Connection& connection, DispatcherId dispatcher, PlaceId route);

pg::DbResult<void> block_route(pg::Connection& connection, PlaceId route, std::chrono::milliseconds limit,
                               const std::string& why);

// Recipients that may be served, out of `limit` in any 24 hours; `wanted` below 0 gives back. Only of a route that the
// dispatcher owns.
struct Granted {
    int recipients = 0;
    std::chrono::milliseconds next{0}; // when the oldest of the last 24 hours are over
};
pg::DbResult<Granted> grant_recipients(pg::Connection& connection, DispatcherId dispatcher, PlaceId route, int wanted,
                                       int limit);

// What is decided alike in a hold that settings release: is the reason still there?
struct HeldAlike {
    PlaceId place = unsorted;
    std::string key;     // of the hold
    Claimed message;     // stands for all of them; not under lease, only what decides about it
    std::string alike;   // for release_alike
    std::string seen_at; // by the database's clock
};
pg::DbResult<std::vector<HeldAlike>> held_alike(pg::Connection& connection); // place by place
pg::DbResult<void> release_place(pg::Connection& connection, PlaceId place);
// At least one, all of one place. Returns how many messages left it, up to `limit`.
pg::DbResult<std::int64_t> release_alike(pg::Connection& connection, const std::vector<HeldAlike>& some, int limit);

} // namespace mailroom::queue
