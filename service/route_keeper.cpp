#include "service/route_keeper.hpp"

#include "service/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mailroom {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto look_every = std::chrono::seconds(1);         // ours
constexpr auto pause_of_a_suspect = std::chrono::seconds(5); // whose account has no room
constexpr int grant_step = 200; // recipients of a limited account that are asked for at once, ours

std::string name_of(const Owner& owner)
{
    return owner.kind == Owner::Kind::general ? "general" : fmt::format("user:{}", owner.id);
}

} // namespace

boost::asio::awaitable<bool> RouteKeeper::takes(const Job& job)
{
    Route& route = *job.route;
    const auto dispatcher = job.claimed.dispatcher;
    if (route.limited() && !route.place)
        co_await place_of(route, job.identity);
    if (route.limited()) {
        const bool ours = co_await own(route, dispatcher);
        if (!ours)
            co_return false;
    }
    const bool is_next =
        job.is_suspect() || route.place == job.claimed.place || !route.waits_behind_parked(job.claimed.lane);
    if (!is_next || !routes_.has_room(route, job.claimed.lane, steady_clock::now()))
        co_return false;
    routes_.take(job);
    if (route.wanted > route.granted)
        co_await grant(route, dispatcher);
    if (route.wanted <= route.granted)
        co_return true;
    routes_.leave(job);
    co_return false;
}

// Recipients are granted before they are served, so that a limit of a day holds whoever dies.
boost::asio::awaitable<void> RouteKeeper::grant(Route& route, queue::DispatcherId dispatcher)
{
    if (steady_clock::now() < route.no_grants_until)
        co_return;
    const int limit = route.limits.recipients_per_day;
    const int missing = std::max(route.wanted - route.granted, std::min(grant_step, limit / 20));
    const auto job = [dispatcher, place = *route.place, missing, limit](pg::Connection& connection) {
        return queue::grant_recipients(connection, dispatcher, place, missing, limit);
    };
    auto granted = co_await claims_.run<queue::Granted>(job);
    if (!granted)
        co_return;
    route.granted += granted->recipients;
    route.granted_at = std::chrono::system_clock::now();
    if (route.granted >= route.wanted || granted->recipients > 0)
        co_return;
    if (granted->next.count() == 0) { // somebody else's by now
        route.owner.reset();
        co_return;
    }
    route.no_grants_until = steady_clock::now() + granted->next;
    std::string why = fmt::format("the limit of {} recipients in 24 hours", limit);
    co_await tell(route, granted->next, std::move(why));
}

// Takes a limited route, if nobody else has it.
boost::asio::awaitable<bool> RouteKeeper::own(Route& route, queue::DispatcherId dispatcher)
{
    if (route.owner == dispatcher)
        co_return true;
    if (!route.place || steady_clock::now() < route.others_until)
        co_return false;
    const auto job = [dispatcher, place = *route.place](pg::Connection& connection) {
        return queue::own_route(connection, dispatcher, place);
    };
    auto owned = co_await claims_.run<bool>(job);
    if (!owned || !*owned) {
        route.others_until = steady_clock::now() + look_every;
        co_return false;
    }
    route.taken_over(dispatcher, steady_clock::now());
    co_return true;
}

boost::asio::awaitable<std::optional<queue::PlaceId>> RouteKeeper::place_of(Route& route,
                                                                            const rules::Identity& identity)
{
    const queue::RoutePlace wanted{route.key, route.account, name_of(identity.owner), route.limited()};
    auto place = co_await places_.of(wanted);
    if (!place)
        co_return std::nullopt;
    routes_.stands_at(route, *place);
    co_return *place;
}

boost::asio::awaitable<void> RouteKeeper::park(const Job& job)
{
    Route& route = *job.route;
    if (job.is_suspect()) { // it keeps to its own place
        courier_.put_back(job.claimed, pause_of_a_suspect, {});
        co_return;
    }
    const auto place = co_await place_of(route, job.identity);
    if (!place) {
        courier_.put_back(job.claimed, look_every, {});
        co_return;
    }
    const auto now = steady_clock::now();
    courier_.park(job.claimed, *place, job.snapshot->settings.version);
    Routes::parked(route, job.claimed.lane, now);
    co_await tell_of_minute(route, job.claimed.dispatcher);
}

// Why what is parked waits, where its minute is used up.
boost::asio::awaitable<void> RouteKeeper::tell_of_minute(Route& route, queue::DispatcherId dispatcher)
{
    const auto now = steady_clock::now();
    if (route.limits.messages_per_minute == 0 || route.owner != dispatcher || now < route.told_until ||
        route.minute.available(now) > 0)
        co_return;
    const auto rest = std::chrono::ceil<milliseconds>(route.minute.next(now) - now);
    route.told_until = now + std::max<milliseconds>(rest, look_every);
    std::string why = fmt::format("the limit of {} messages a minute", route.limits.messages_per_minute);
    co_await tell(route, rest, std::move(why));
}

// Says in the database until when a route is blocked and why: for people, and for the other dispatchers, who would find
// out by themselves.
boost::asio::awaitable<bool> RouteKeeper::tell(const Route& route, milliseconds rest, std::string why)
{
    if (!route.place)
        co_return false;
    const auto job = [place = *route.place, rest, why](pg::Connection& connection) {
        return queue::block_route(connection, place, rest, why);
    };
    auto done = co_await telling_.run<void>(job);
    co_return done.has_value();
}

// Nothing goes by the account for a while; what was ready waits at its route.
boost::asio::awaitable<void> RouteKeeper::block(Route& route, milliseconds rest, std::string why)
{
    log::warning("account_waits", "mail by {} waits {} s: {}", route.account,
                 std::chrono::ceil<std::chrono::seconds>(rest).count(), why);
    co_await park_ready(route);
    const bool told = co_await tell(route, rest, std::move(why));
    route.block_is_told = told;
}

boost::asio::awaitable<void> RouteKeeper::park_ready(Route& route)
{
    const std::vector<Job> jobs = routes_.take_back(route);
    for (const Job& job : jobs)
        co_await park(job);
}

boost::asio::awaitable<std::optional<queue::PlaceId>> RouteKeeper::account_troubled(const Job& job, milliseconds rest,
                                                                                    std::string why)
{
    Route& route = *job.route;
    const auto place = co_await place_of(route, job.identity);
    const auto now = steady_clock::now();
    if (place)
        Routes::parked(route, job.claimed.lane, now);
    if (route.troubled(rest, why, now) == Route::Trouble::blocked)
        co_await block(route, rest, std::move(why));
    co_return place;
}

boost::asio::awaitable<void> RouteKeeper::look(queue::DispatcherId dispatcher, const MailSettings& settings)
{
    if (steady_clock::now() < next_look_)
        co_return;
    next_look_ = steady_clock::now() + look_every;
    for (auto& [key, route] : routes_.all())
        tell_of_trouble(route, dispatcher);
    const auto job = [dispatcher](pg::Connection& connection) { return queue::waiting_routes(connection, dispatcher); };
    auto found = co_await claims_.run<std::vector<queue::WaitingRoute>>(job);
    if (!found)
        co_return; // the claim will say why
    for (const auto& waiting : *found) {
        routes_.waiting(waiting, dispatcher, settings, steady_clock::now());
        Route& route = *routes_.at(waiting.place);
        if (waiting.owned_by != queue::WaitingRoute::OwnedBy::another && route.limited())
            co_await own(route, dispatcher);
        if (route.blocked(steady_clock::now()) || !route.is_ours(dispatcher))
            co_await park_ready(route);
        co_await tell_of_minute(route, dispatcher);
    }
    const auto hour = std::chrono::floor<std::chrono::hours>(std::chrono::system_clock::now());
    for (auto& [key, route] : routes_.all()) {
        if (route.granted > route.wanted && route.granted_at < hour) // a grant is for the hour it was given in
            co_await give_back(route, dispatcher);
    }
}

void RouteKeeper::tell_of_trouble(Route& route, queue::DispatcherId dispatcher)
{
    const auto now = steady_clock::now();
    if (route.watch(now) == Route::Pause::is_over)
        events_.end(rules::EventKind::sending_paused, route.account);
    const bool is_long = route.is_ours(dispatcher) && route.is_troubled_for_long(now);
    if (is_long == route.trouble_is_told)
        return;
    route.trouble_is_told = is_long;
    if (is_long)
        events_.raise({rules::EventKind::account_in_trouble,
                       route.key,
                       fmt::format("mail by {} waits for {} min and longer: {}", route.account,
                                   std::chrono::duration_cast<std::chrono::minutes>(now - route.troubled_since).count(),
                                   route.trouble),
                       {}});
    else
        events_.end(rules::EventKind::account_in_trouble, route.key);
}

// What was granted and is not used others may have.
boost::asio::awaitable<void> RouteKeeper::give_back(Route& route, queue::DispatcherId dispatcher)
{
    const int unused = route.granted - route.wanted;
    if (route.owner != dispatcher || unused <= 0)
        co_return;
    route.granted -= unused;
    const auto job = [dispatcher, place = *route.place, unused,
                      limit = route.limits.recipients_per_day](pg::Connection& connection) {
        return queue::grant_recipients(connection, dispatcher, place, -unused, limit);
    };
    static_cast<void>(co_await claims_.run<queue::Granted>(job)); // unanswered, it counts as used
}

boost::asio::awaitable<void> RouteKeeper::give_back_grants(queue::DispatcherId dispatcher)
{
    for (auto& [key, route] : routes_.all())
        co_await give_back(route, dispatcher);
}

void RouteKeeper::put_back_ready()
{
    for (auto& [key, route] : routes_.all()) {
        for (const Job& job : routes_.take_back(route))
            courier_.put_back(job.claimed, milliseconds(0), {});
    }
}

} // namespace mailroom
