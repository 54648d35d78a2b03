#include "service/routes.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mailroom {
namespace {

constexpr std::array<int, lane_count> weights{8, 4, 1};
constexpr int all_weights = 13;

// Ours. Alone, a route may have a batch and what was left of the one before; among others it has enough to keep its
// connections busy for the time of a claim. Beyond `many_ready` in all, every full route parks what is more.
constexpr int ready_alone = queue::max_batch + queue::max_batch / 2;
constexpr int ready_for_each_connection = 16;
constexpr int ready_for_each_connection_when_many = 4;
constexpr int many_ready = 4 * queue::max_batch;
constexpr int low_water = queue::max_batch / 2;                  // unsorted messages are claimed below it
constexpr auto flush_of_parked = std::chrono::milliseconds(200); // parked here, not yet in the database: ours

std::size_t index(Lane lane)
{
    return static_cast<std::size_t>(lane);
}

} // namespace

Route& Routes::of(const RouteName& name, const MailSettings& settings, Clock::time_point now)
{
    const auto [found, is_new] = routes_.try_emplace(name.key);
    Route& route = found->second;
    if (is_new) {
        route.key = name.key;
        route.account = name.account;
        route.host = name.host;
        route.login = name.login;
        limit(route, settings, now);
    }
    return route;
}

Route* Routes::at(queue::PlaceId place)
{
    const auto found = places_.find(place);
    return found == places_.end() ? nullptr : found->second;
}

void Routes::limit(Route& route, const MailSettings& settings, Clock::time_point now) const
{
    const AccountLimits before = std::exchange(route.limits, limits_of(settings, route.host, route.login));
    route.max_connections =
        route.limits.connections > 0 ? std::min(route.limits.connections, per_account_) : per_account_;
    if (route.limits == before)
        return;
    route.minute.limit(route.limits.messages_per_minute, now);
    route.no_grants_until = {};
    route.told_until = {};
    if (route.limits.recipients_per_day == 0)
        route.granted = 0;
}

void Routes::settings_changed(const MailSettings& settings, Clock::time_point now)
{
    for (auto& [key, route] : routes_)
        limit(route, settings, now);
}

// ---- what is ready

int Routes::most_ready(const Route& route, Clock::time_point now) const
{
    if (route.blocked(now))
        return 0;
    const int connections = route.connections(now);
    if (ready() > many_ready)
        return connections * ready_for_each_connection_when_many;
    const int most = route.ready_up_to(Lane::bulk) == ready() ? ready_alone : connections * ready_for_each_connection;
    return std::min(most, route.minute.available(now));
}

int Routes::ready(Lane up_to) const
{
    return std::accumulate(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(up_to) + 1, 0);
}

bool Routes::is_low(const Route& route, Lane lane, Clock::time_point now) const
{
    return ready(lane) == low_water ||
           (route.parked[index(lane)] && route.ready_up_to(lane) == most_ready(route, now) / 2);
}

bool Routes::has_room(const Route& route, Lane lane, Clock::time_point now) const
{
    return route.ready_up_to(lane) < most_ready(route, now);
}

void Routes::take(const Job& job)
{
    ++job.route->ready[index(job.claimed.lane)];
    job.route->wanted += job.route->needed(job);
    ++ready_[index(job.claimed.lane)];
    suspects_ += job.is_suspect() ? 1 : 0;
}

void Routes::leave(const Job& job)
{
    --job.route->ready[index(job.claimed.lane)];
    job.route->wanted -= job.route->needed(job);
    --ready_[index(job.claimed.lane)];
    suspects_ -= job.is_suspect() ? 1 : 0;
}

void Routes::push(Job job)
{
    Route& route = *job.route;
    auto& jobs = route.jobs[index(job.claimed.lane)];
    if (jobs.empty())
        turns_[index(job.claimed.lane)].push_back(&route);
    jobs.push_back(std::move(job));
}

// Smooth weighted turns: each lane with work earns its weight, the richest pays for all. Within a lane it is the first
// route that may begin its next message.
Routes::Turn Routes::next_turn(const MayBegin& may_begin)
{
    Turn turn{credit_, lane_count, {}};
    int earned = 0;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
        const auto route = std::ranges::find_if(
            turns_[lane], [&](const Route* next) { return may_begin(*next, next->jobs[lane].front()); });
        if (route == turns_[lane].end())
            continue;
        turn.credit[lane] += weights[lane];
        earned += weights[lane];
        if (turn.lane == lane_count || turn.credit[lane] > turn.credit[turn.lane]) {
            turn.lane = lane;
            turn.route = route;
        }
    }
    if (turn.lane != lane_count)
        turn.credit[turn.lane] -= earned;
    return turn;
}

Job Routes::take_turn(const Turn& turn)
{
    credit_ = turn.credit;
    auto& turns = turns_[turn.lane];
    auto& jobs = (*turn.route)->jobs[turn.lane];
    Job job = std::move(jobs.front());
    jobs.pop_front();
    if (jobs.empty())
        turns.erase(turn.route);
    else
        turns.splice(turns.end(), turns, turn.route);
    --ready_[turn.lane];
    return job;
}

std::optional<Job> Routes::pop(Clock::time_point now)
{
    const Turn turn = next_turn([now](const Route& route, const Job& job) { return route.may_begin(job, now); });
    if (turn.lane == lane_count)
        return std::nullopt;
    Job job = take_turn(turn);
    job.route->begin(job, now);
    return job;
}

std::optional<Job> Routes::pop_behind(const Route& route, Clock::time_point now)
{
    const Turn turn = next_turn([&](const Route& other, const Job& job) {
        return &other == &route ? other.may_begin_behind(job, now) : other.may_begin(job, now);
    });
    if (turn.lane == lane_count || *turn.route != &route)
        return std::nullopt;
    const Job& next = route.jobs[turn.lane].front();
    if (!next.content || next.is_suspect())
        return std::nullopt;
    Job job = take_turn(turn);
    job.route->begin_behind(job);
    return job;
}

void Routes::give_back(Job job)
{
    Route& route = *job.route;
    auto& jobs = route.jobs[index(job.claimed.lane)];
    route.not_begun(job);
    ++ready_[index(job.claimed.lane)];
    if (jobs.empty())
        turns_[index(job.claimed.lane)].push_front(&route);
    jobs.push_front(std::move(job));
}

std::vector<Job> Routes::take_back(Route& route)
{
    std::vector<Job> jobs;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
        std::ranges::for_each(route.jobs[lane], [this](const Job& job) { leave(job); });
        std::ranges::move(route.jobs[lane], std::back_inserter(jobs));
        route.jobs[lane].clear();
        turns_[lane].remove(&route);
    }
    return jobs;
}

int Routes::may_begin(Clock::time_point now) const
{
    int count = 0;
    for (const auto& entry : routes_) {
        const Route& route = entry.second;
        const auto begins = [&](const auto& jobs) { return !jobs.empty() && route.may_begin(jobs.front(), now); };
        if (std::ranges::any_of(route.jobs, begins))
            count += std::min(route.ready_up_to(Lane::bulk), route.may_begin(now));
    }
    return count;
}

std::optional<Routes::Clock::time_point> Routes::next_turn(Clock::time_point now) const
{
    std::optional<Clock::time_point> soonest;
    for (const auto& [key, route] : routes_) {
        if (route.ready_up_to(Lane::bulk) == 0 && !route.anything_parked())
            continue;
        const auto turn = std::max({route.blocked_until, route.no_grants_until, route.minute.next(now)});
        if (turn > now && (!soonest || turn < *soonest))
            soonest = turn;
    }
    return soonest;
}

// ---- what to claim

void Routes::add_unsorted(Idle idle, std::vector<queue::Range>& ranges) const
{
    int hungry = 0;
    for (std::size_t lane = 0; lane < lane_count; ++lane)
        hungry += was_full_[lane] ? weights[lane] : 0;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
        if (idle == Idle::no && ready(static_cast<Lane>(lane)) >= low_water)
            continue;
        // A lane that had less than it was asked for last time leaves its share to the others, but for a look.
        const int among = was_full_[lane] ? hungry : all_weights;
        const int share = std::max(1, queue::max_batch * weights[lane] / std::max(among, 1));
        ranges.push_back({queue::unsorted, static_cast<Lane>(lane), share, {}});
    }
}

// Each lane by its weight among those that have something parked and little ready. Returns how many are asked for.
int Routes::add_parked(const Route& route, int most, int room, std::vector<queue::Range>& ranges)
{
    int among = 0;
    const auto wants = [&](std::size_t lane) {
        return route.parked[lane] && route.ready_up_to(static_cast<Lane>(lane)) <= most / 2;
    };
    for (std::size_t lane = 0; lane < lane_count; ++lane)
        among += wants(lane) ? weights[lane] : 0;
    int asked = 0;
    for (std::size_t lane = 0; lane < lane_count && asked < room; ++lane) {
        if (!wants(lane))
            continue;
        const int share = std::clamp((room - asked) * weights[lane] / among, 1, room - asked);
        ranges.push_back({*route.place, static_cast<Lane>(lane), share, {}});
        asked += share;
        among -= weights[lane];
    }
    return asked;
}

std::vector<queue::Range> Routes::ranges(Idle idle, queue::DispatcherId dispatcher, Clock::time_point now)
{
    std::vector<queue::Range> ranges;
    add_unsorted(idle, ranges);
    // Routes take turns here too: where one claim could not ask for all, the next begins.
    int room = 2 * queue::max_batch;
    auto start = routes_.lower_bound(next_parked_);
    for (std::size_t i = 0; i < routes_.size() && room > 0; ++i, ++start) {
        if (start == routes_.end())
            start = routes_.begin();
        const Route& route = start->second;
        if (!route.place || !route.anything_parked() || !route.is_ours(dispatcher) || route.blocked(now) ||
            now < route.no_grants_until)
            continue;
        const int most = route.proving ? 1 - route.active : most_ready(route, now);
        const int wanted = std::min({most - route.ready_up_to(Lane::bulk) / 2, room, queue::max_batch});
        if (wanted <= 0)
            continue;
        room -= add_parked(route, most, wanted, ranges);
        next_parked_ = start->first + '\0'; // behind this one
    }
    return ranges;
}

void Routes::claimed(const std::vector<queue::Range>& asked, const std::vector<queue::Claimed>& got,
                     Clock::time_point now)
{
    std::map<std::pair<queue::PlaceId, Lane>, int> count;
    for (const auto& message : got)
        ++count[{message.place, message.lane}];
    for (const auto& range : asked) {
        const bool full = count[{range.place, range.lane}] >= range.limit;
        const bool is_empty = !full && range.since == pg::Timestamp(); // in front of a mark anything may be parked
        if (range.place == queue::unsorted)
            was_full_[index(range.lane)] = full;
        else if (Route* route = at(range.place);
                 route != nullptr && is_empty && now - route->parked_at[index(range.lane)] > flush_of_parked)
            route->parked[index(range.lane)] = false;
    }
}

void Routes::parked(Route& route, Lane lane, Clock::time_point now)
{
    route.parked[index(lane)] = true;
    route.parked_at[index(lane)] = now;
}

void Routes::stands_at(Route& route, queue::PlaceId place)
{
    route.place = place;
    places_[place] = &route;
}

void Routes::waiting(const queue::WaitingRoute& found, queue::DispatcherId dispatcher, const MailSettings& settings,
                     Clock::time_point now)
{
    Route& route = of(route_named(found.key), settings, now);
    stands_at(route, found.place);
    route.parked.fill(true);
    if (found.owned_by == queue::WaitingRoute::OwnedBy::another)
        route.owner.reset();
    if (found.blocked_for.count() == 0 && route.blocked(now) && route.block_is_told)
        route.unblock();                                                    // by a setting or an operator
    const bool knows_better = route.limited() && route.owner == dispatcher; // the database may tell of a limit
    if (found.blocked_for.count() > 0 && !route.blocked(now) && !knows_better) {
        route.block(now + found.blocked_for, found.blocked_why);
        route.block_is_told = true;
        route.proving = true;
    }
}

} // namespace mailroom
