#include "service/housekeeping.hpp"

#include "service/log.hpp"

#include <utility>

namespace mailroom {
namespace {

// All ours. A look at statistics costs a millisecond, and dead rows cost claims after a minute of a busy queue.
constexpr auto look_every = std::chrono::seconds(30);
// A generation lasts a day or more.
constexpr auto turn_every = std::chrono::minutes(1);
// Keys and usage are kept for days; to find that there are none to forget may read all keys.
constexpr auto forget_every = std::chrono::minutes(10);
// Before the enrolment, and while it does not hold.
constexpr auto look_for_enrolment_every = std::chrono::seconds(1);
// Shorter transactions are an ERP's daily work.
constexpr auto pins_are_told_after = std::chrono::seconds(60);
constexpr int keys_at_once = 5000;

} // namespace

Housekeeping::Housekeeping(const boost::asio::any_io_executor& executor, pg::Source source,
                           const Enrollment& enrollment, ServiceFile::Retention retention)
    : lane_(std::move(source)), enrollment_(enrollment), retention_(retention), wakeup_(executor)
{}

void Housekeeping::stop()
{
    stopping_ = true;
    lane_.stop();
    wakeup_.wake();
}

bool Housekeeping::may_go_on() const
{
    return !stopping_ && enrollment_.id().has_value();
}

boost::asio::awaitable<void> Housekeeping::run()
{
    Clock::time_point next_turn;
    Clock::time_point next_forgetting;
    while (!stopping_) {
        if (!may_go_on()) {
            co_await wakeup_.wait_for(look_for_enrolment_every);
            continue;
        }
        co_await watch_pins();
        co_await vacuum();
        if (Clock::now() >= next_turn) {
            next_turn = Clock::now() + turn_every;
            co_await turn(queue::Ring::content, retention_.content);
            co_await turn(queue::Ring::history, retention_.log);
            co_await clear(queue::Ring::content, retention_.content);
            co_await clear(queue::Ring::history, retention_.log);
            co_await unpin();
            co_await unpark();
        }
        if (Clock::now() >= next_forgetting) {
            next_forgetting = Clock::now() + forget_every;
            co_await forget();
        }
        co_await wakeup_.wait_for(look_every);
    }
}

template <class T>
bool Housekeeping::failed(const pg::DbResult<T>& result)
{
    if (result) {
        trouble_.clear();
        return false;
    }
    // A database that is away is told by the heartbeat.
    if (result.error().kind == pg::DbError::Kind::refused && trouble_ != result.error().text) {
        trouble_ = result.error().text;
        log::warning("what is past its retention could not be cleared away: {}", pg::explain(result.error()));
    }
    return true;
}

boost::asio::awaitable<void> Housekeeping::turn(queue::Ring ring, std::chrono::milliseconds retention)
{
    const auto job = [ring, retention](pg::Connection& connection) {
        return queue::turn_ring(connection, ring, retention);
    };
    auto turned = co_await lane_.run<queue::Turn>(job);
    if (failed(turned))
        co_return;
    if (turned->opened)
        log::info("opened generation {} of {}", *turned->opened, queue::name_of(ring));
    if (turned->stuck && stuck_.insert(ring).second)
        log::warning(
            "no generation of {} is empty: what is new goes into the present one, and is cleared away later; the "
            "view mailroom.generations shows what keeps the others",
            queue::name_of(ring));
    if (turned->opened)
        stuck_.erase(ring);
}

boost::asio::awaitable<void> Housekeeping::clear(queue::Ring ring, std::chrono::milliseconds retention)
{
    while (may_go_on()) {
        const auto job = [ring, retention](pg::Connection& connection) {
            return queue::empty_generation(connection, ring, retention);
        };
        auto emptied = co_await lane_.run<std::optional<std::int64_t>>(job);
        if (failed(emptied) || !*emptied)
            co_return;
        log::info("cleared away generation {} of {}: it was past its retention", **emptied, queue::name_of(ring));
    }
}

boost::asio::awaitable<void> Housekeeping::unpin()
{
    std::int64_t after = 0;
    std::int64_t moved = 0;
    while (may_go_on()) {
        const auto job = [retention = retention_.content, after](pg::Connection& connection) {
            return queue::unpin_generation(connection, retention, after);
        };
        auto unpinned = co_await lane_.run<queue::Unpinned>(job);
        if (failed(unpinned) || unpinned->messages == 0)
            break;
        after = unpinned->last;
        moved += unpinned->messages;
    }
    if (moved > 0)
        log::info("moved the content of {} messages that wait for long, so that their generation can be cleared away",
                  moved);
}

boost::asio::awaitable<void> Housekeeping::unpark()
{
    const std::function<pg::DbResult<void>(pg::Connection&)> job = queue::unpark;
    auto done = co_await lane_.run<void>(job);
    failed(done);
}

boost::asio::awaitable<void> Housekeeping::forget()
{
    const std::function<pg::DbResult<std::int64_t>(pg::Connection&)> small = queue::forget_small;
    auto forgotten = co_await lane_.run<std::int64_t>(small);
    failed(forgotten);
    while (may_go_on()) {
        const auto job = [retention = retention_.idempotency](pg::Connection& connection) {
            return queue::forget_keys(connection, retention, keys_at_once);
        };
        auto keys = co_await lane_.run<std::int64_t>(job);
        if (failed(keys) || *keys == 0)
            co_return;
        log::debug("forgot {} idempotency keys", *keys);
    }
}

boost::asio::awaitable<void> Housekeeping::vacuum()
{
    const std::function<pg::DbResult<queue::DeadRows>(pg::Connection&)> look = queue::dead_rows;
    auto dead = co_await lane_.run<queue::DeadRows>(look);
    if (failed(dead) || !dead->wants_vacuum)
        co_return;
    if (!dead->may_vacuum) {
        if (!std::exchange(told_that_it_may_not_vacuum_, true))
            log::warning(
                "autovacuum does not keep up with mailroom.queue ({} dead rows), and this login may not VACUUM: "
                "let autovacuum look more often (autovacuum_naptime), or GRANT {} TO the service's login",
                dead->count, dead->owner);
        co_return;
    }
    log::info("autovacuum does not keep up with mailroom.queue ({} dead rows): VACUUM", dead->count);
    const std::function<pg::DbResult<void>(pg::Connection&)> job = queue::vacuum;
    auto done = co_await lane_.run<void>(job);
    failed(done);
}

// A transaction whose beginning this login may not see is as old as we know it to be.
boost::asio::awaitable<void> Housekeeping::watch_pins()
{
    const std::function<pg::DbResult<std::vector<queue::Pin>>(pg::Connection&)> look = queue::pins;
    auto found = co_await lane_.run<std::vector<queue::Pin>>(look);
    if (failed(found))
        co_return;
    const auto now = Clock::now();
    std::map<std::string, Known> still;
    for (const auto& pin : *found) {
        const auto known = pins_.find(pin.name);
        Known& entry = still[pin.name];
        entry = known != pins_.end() ? known->second : Known{now, {}};
        if (entry.told.empty() && (pin.age.value_or(std::chrono::seconds(0)) >= pins_are_told_after ||
                                   now - entry.since >= pins_are_told_after)) {
            entry.told = pin.text;
            log::warning("dead rows of the queue cannot be removed: {}; {}", pin.text, pin.remedy);
        }
    }
    for (const auto& [name, entry] : pins_)
        if (!entry.told.empty() && !still.contains(name))
            log::info("dead rows of the queue can be removed again: {}, has ended", entry.told);
    pins_ = std::move(still);
}

} // namespace mailroom
