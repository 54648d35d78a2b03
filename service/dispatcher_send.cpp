// Sending: connections that carry one message after the other, and the eye on those that do not get on.
#include "service/dispatcher.hpp"
#include "service/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace mailroom {
namespace {

using std::chrono::steady_clock;

constexpr auto longest_behind = std::chrono::seconds(2); // the next message for the reply to the one before, ours
constexpr auto margin = std::chrono::minutes(1); // after which a delivery that is over its limits is a bug, ours

} // namespace

// The lease, for certain: others cannot have taken it.
bool Dispatcher::holds(const Job& job) const
{
    return enrollment_.id() == job.claimed.dispatcher;
}

// A message is begun only under a lease that holds, and never by settings that are known to be old: then it is sorted
// again.
bool Dispatcher::may_begin(const Job& job) const
{
    return holds(job) && job.snapshot->settings.version >= enrollment_.settings_version();
}

boost::asio::awaitable<void> Dispatcher::send_jobs()
{
    Courier::Round round;
    rounds_.insert(&round);
    for (;;) {
        std::unique_ptr<Errand> errand = co_await taken_over(round);
        if (!errand) {
            if (senders_ > setup_.file.dispatcher.connections) // fewer since a reload
                break;
            auto job = noted(routes_.pop(steady_clock::now()));
            if (!job)
                break;
            errand = std::make_unique<Errand>(*std::move(job));
        }
        Route& route = *errand->job().route;
        round.pop_behind = [this, &route] { return noted(routes_.pop_behind(route, steady_clock::now())); };
        round.carried = errand.get();
        const Route::Ended ended = co_await courier_.carry(*errand, round);
        round.carried = nullptr;
        route.end(errand->job().charged, ended, steady_clock::now());
        routes_.ended(errand->job());
        if (round.next)
            route.take_over(steady_clock::now());
    }
    rounds_.erase(&round);
    --senders_;
    claim_wakeup_.wake();
}

// Claims in time for what comes after it.
std::optional<Job> Dispatcher::noted(std::optional<Job> job)
{
    if (job && routes_.is_low(*job->route, job->claimed.lane, steady_clock::now()))
        claim_wakeup_.wake();
    return job;
}

// What was begun behind the last message, unless that showed that its account is in trouble.
boost::asio::awaitable<std::unique_ptr<Errand>> Dispatcher::taken_over(Courier::Round& round)
{
    std::unique_ptr<Errand> errand = std::move(round.next);
    if (!errand) {
        round.begun.reset(); // of a message that was given back meanwhile
        co_return nullptr;
    }
    Job& job = errand->job();
    Route& route = *job.route;
    const auto now = steady_clock::now();
    const bool ours = enrollment_.id() && route.is_ours(*enrollment_.id());
    if (ours && !route.blocked(now) && route.active <= route.connections(now))
        co_return errand;
    round.begun.reset();
    route.end(job.charged, Route::Ended::troubled, now);
    routes_.ended(job);
    co_await keeper_.park(job);
    co_return nullptr;
}

// What was begun behind a message whose server takes its time goes by another connection, where one is free. Its
// commands are undone with the connection that they went by.
void Dispatcher::free_the_waiting()
{
    const auto now = steady_clock::now();
    for (Courier::Round* round : rounds_) {
        if (!round->next || now - round->next_since < longest_behind)
            continue;
        const Route& route = *round->next->job().route;
        if (route.blocked(now) || route.active >= route.connections(now))
            continue;
        routes_.give_back(std::move(round->next->job()));
        round->next.reset();
    }
}

// ---- how it is doing

void Dispatcher::watch()
{
    const auto now = steady_clock::now();
    std::set<std::string> stuck;
    for (Courier::Round* round : rounds_) {
        if (round->carried == nullptr || now - margin < round->carried->progress().due)
            continue;
        const Progress& progress = round->carried->progress();
        const std::string& uid = round->carried->job().claimed.uid;
        if (!stuck_.contains(uid))
            log::write(LogLevel::error, "delivery_stuck",
                       fmt::format("a delivery has not ended in its time: {}; its connection is cut, if it has one",
                                   describe(progress, now)),
                       {{"uid", uid}});
        stuck.insert(uid);
        transport_.give_up(progress);
    }
    stuck_ = std::move(stuck);
}

std::vector<const Progress*> Dispatcher::carried() const
{
    std::vector<const Progress*> deliveries;
    for (const Courier::Round* round : rounds_) {
        if (round->carried != nullptr)
            deliveries.push_back(&round->carried->progress());
    }
    return deliveries;
}

std::optional<steady_clock::time_point> Dispatcher::all_stuck_since(const std::vector<const Progress*>& deliveries,
                                                                    steady_clock::time_point now)
{
    const auto last = std::ranges::max_element(deliveries, {}, &Progress::due);
    if (last == deliveries.end() || now - margin < (*last)->due)
        return std::nullopt;
    return (*last)->due + margin;
}

// A delivery that hangs is no reason to put all others in doubt: it is given up. Where that helps none of them and no
// connection is left for others, no mail goes.
std::optional<Dispatcher::Stall> Dispatcher::stalled(steady_clock::duration limit) const
{
    const auto now = steady_clock::now();
    const auto is_over = [&](steady_clock::time_point since) { return now - since > limit; };
    if (stopping_) // has a limit of its own
        return std::nullopt;
    const std::array<std::pair<std::string_view, const queue::DatabaseLane*>, 5> lanes{
        {{"the connection for claiming", &claim_lane_},
         {"the connection for outcomes", &write_lane_},
         {"the connection for content", &read_lane_},
         {"the connection for the heartbeat", &beat_lane_},
         {"the connection for upkeep", &upkeep_lane_}}};
    const bool no_slot = senders_ >= setup_.file.dispatcher.connections && carried().size() == rounds_.size();
    const auto stuck = no_slot ? all_stuck_since(carried(), now) : std::nullopt;
    if (stuck && is_over(*stuck))
        return Stall{"every delivery", *stuck};
    bool in_trouble = !enrollment_.id();
    for (const auto& [what, lane] : lanes) {
        const auto progress = lane->progress();
        if (progress.busy_since && is_over(*progress.busy_since)) // whatever the database does: its limits are shorter
            return Stall{what, *progress.busy_since};
        in_trouble = in_trouble || (progress.failed_at && !is_over(*progress.failed_at));
    }
    if (is_over(enrollment_.away_since()))
        return Stall{"the heartbeat", enrollment_.away_since()};
    if (in_trouble) // then loops may wait for the database, for as long as that takes
        return std::nullopt;
    const auto claiming = std::max(claim_wakeup_.away_since(), claim_lane_.progress().answered_at);
    if (is_over(claiming))
        return Stall{"claiming", claiming};
    if (completer_.unflushed() > 0 && is_over(completer_.away_since()))
        return Stall{"writing outcomes", completer_.away_since()};
    return std::nullopt;
}

} // namespace mailroom
