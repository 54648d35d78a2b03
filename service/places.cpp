#include "service/places.hpp"

#include "service/outgoing.hpp"

namespace mailroom {

boost::asio::awaitable<pg::DbResult<queue::PlaceId>> Places::of(const rules::Hold& hold)
{
    const std::string key = rules::place_key(hold);
    if (const auto known = known_.find(key); known != known_.end())
        co_return known->second;
    const auto job = [place = place_of_hold(hold)](pg::Connection& connection) {
        return queue::place_of(connection, place);
    };
    auto place = co_await lane_.run<queue::PlaceId>(job);
    if (place)
        known_.emplace(key, *place);
    co_return place;
}

boost::asio::awaitable<pg::DbResult<queue::PlaceId>> Places::of(const queue::RoutePlace& route)
{
    // The database adds each owner once.
    const std::string key = route.key + (route.limited ? "\nlimited\n" : "\n") + route.owner;
    if (const auto known = known_.find(key); known != known_.end())
        co_return known->second;
    const auto job = [route](pg::Connection& connection) { return queue::place_of(connection, route); };
    auto place = co_await lane_.run<queue::PlaceId>(job);
    if (place)
        known_.emplace(key, *place);
    co_return place;
}

} // namespace mailroom
