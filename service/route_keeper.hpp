// Keeps the routes in step with the database: where their messages stand, who owns those with limits, what these were
// granted, which accounts are in trouble. It decides whether a message has room on its route, and parks what has none.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/route_store.hpp"
#include "service/courier.hpp"
#include "service/events.hpp"
#include "service/job.hpp"
#include "service/places.hpp"
#include "service/routes.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>

namespace mailroom {

class RouteKeeper {
public:
    // claims: the lane of claims, for what sorting needs; telling: for what people and other dispatchers are told.
    RouteKeeper(Routes& routes, Places& places, Courier& courier, queue::DatabaseLane& claims,
                queue::DatabaseLane& telling, Events& events)
        : routes_(routes), places_(places), courier_(courier), claims_(claims), telling_(telling), events_(events)
    {}

    // Whether there is room for the message on its route, and nothing of the same or a more urgent lane waits there.
    boost::asio::awaitable<bool> takes(const Job& job);
    boost::asio::awaitable<void> park(const Job& job);

    // At which routes messages stand, which are blocked, and which are without an owner: once a second.
    boost::asio::awaitable<void> look(queue::DispatcherId dispatcher, const MailSettings& settings);
    void look_soon() { next_look_ = {}; }

    // The job's account is in trouble for so long. The place of its route; none: the database cannot tell.
    boost::asio::awaitable<std::optional<queue::PlaceId>>
    account_troubled(const Job& job, std::chrono::milliseconds rest, std::string why);
    void put_back_ready(); // to be sorted again
    boost::asio::awaitable<void> give_back_grants(queue::DispatcherId dispatcher);

private:
    boost::asio::awaitable<std::optional<queue::PlaceId>> place_of(Route& route, const rules::Identity& identity);
    boost::asio::awaitable<bool> own(Route& route, queue::DispatcherId dispatcher);
    boost::asio::awaitable<void> grant(Route& route, queue::DispatcherId dispatcher);
    boost::asio::awaitable<void> give_back(Route& route, queue::DispatcherId dispatcher);
    boost::asio::awaitable<void> block(Route& route, std::chrono::milliseconds rest, std::string why);
    boost::asio::awaitable<void> park_ready(Route& route);
    boost::asio::awaitable<bool> tell(const Route& route, std::chrono::milliseconds rest, std::string why);
    void tell_of_trouble(Route& route, queue::DispatcherId dispatcher);
    boost::asio::awaitable<void> tell_of_minute(Route& route, queue::DispatcherId dispatcher);

    Routes& routes_;
    Places& places_;
    Courier& courier_;
    queue::DatabaseLane& claims_;
    queue::DatabaseLane& telling_;
    Events& events_;
    Route::Clock::time_point next_look_;
};

} // namespace mailroom
