// The places of holds and routes, by key. These are never deleted, so that what is known stays true.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/route_store.hpp"
#include "service/rules/hold.hpp"

#include <boost/asio/awaitable.hpp>

#include <map>
#include <string>

namespace mailroom {

class Places {
public:
    explicit Places(queue::DatabaseLane& lane) : lane_(lane) {}

    boost::asio::awaitable<pg::DbResult<queue::PlaceId>> of(const rules::Hold& hold);
    boost::asio::awaitable<pg::DbResult<queue::PlaceId>> of(const queue::RoutePlace& route);

private:
    queue::DatabaseLane& lane_;
    std::map<std::string, queue::PlaceId> known_;
};

} // namespace mailroom
