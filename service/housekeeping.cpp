#include "service/housekeeping.hpp"

#include "config/text.hpp"

#include "queue/event_store.hpp"
#include "queue/migrate.hpp"
#include "service/log.hpp"
#include "service/outgoing.hpp"

#include <fmt/format.h>

#include <set>
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

using rules::EventKind;

std::string how_many(std::int64_t messages)
{
    return messages > 1000 ? "more than 1,000 messages" : count_of(messages, "message");
}

} // namespace

Housekeeping::Housekeeping(const boost::asio::any_io_executor& executor, pg::Source source,
                           const Enrollment& enrollment, Events& events, ServiceFile::Retention retention)
    : lane_(std::move(source)), enrollment_(enrollment), events_(events), retention_(retention), wakeup_(executor)
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
        co_await watch_undecided();
        co_await vacuum();
        if (Clock::now() >= next_turn) {
            next_turn = Clock::now() + turn_every;
            co_await watch_server();
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

boost::asio::awaitable<void> Housekeeping::turn(queue::Ring ring, std::chrono::milliseconds retention)
{
    const auto job = [ring, retention](pg::Connection& connection) {
        return queue::turn_ring(connection, ring, retention);
    };
    auto turned = co_await lane_.run<queue::Turn>(job);
    if (events_.upkeep_failed(fmt::format("opening a generation of {}", queue::name_of(ring)), turned))
        co_return;
    if (turned->opened)
        log::info("generation_opened", "opened generation {} of {}", *turned->opened, queue::name_of(ring));
    const std::string name(queue::name_of(ring));
    if (turned->stuck)
        events_.raise({EventKind::generations_full,
                       name,
                       fmt::format("no generation of {} is empty: what is new goes into the present one, and is "
                                   "cleared away later",
                                   name),
                       {}});
    else
        events_.end(EventKind::generations_full, name);
}

boost::asio::awaitable<void> Housekeeping::clear(queue::Ring ring, std::chrono::milliseconds retention)
{
    while (may_go_on()) {
        const auto job = [ring, retention](pg::Connection& connection) {
            return queue::empty_generation(connection, ring, retention);
        };
        auto emptied = co_await lane_.run<std::optional<std::int64_t>>(job);
        if (events_.upkeep_failed(fmt::format("clearing away a generation of {}", queue::name_of(ring)), emptied) ||
            !*emptied)
            co_return;
        log::info("generation_cleared", "cleared away generation {} of {}: it was past its retention", **emptied,
                  queue::name_of(ring));
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
        if (events_.upkeep_failed("moving content of an old generation", unpinned) || unpinned->messages == 0)
            break;
        after = unpinned->last;
        moved += unpinned->messages;
    }
    if (moved > 0)
        log::info("content_moved",
                  "moved the content of {} waiting for long, so that its generation can be cleared away",
                  count_of(moved, "message"));
}

boost::asio::awaitable<void> Housekeeping::unpark()
{
    const std::function<pg::DbResult<void>(pg::Connection&)> job = queue::unpark;
    auto done = co_await lane_.run<void>(job);
    events_.upkeep_failed("looking for parked messages", done);
}

boost::asio::awaitable<void> Housekeeping::forget()
{
    const std::function<pg::DbResult<std::int64_t>(pg::Connection&)> small = queue::forget_small;
    auto forgotten = co_await lane_.run<std::int64_t>(small);
    events_.upkeep_failed("forgetting what is small", forgotten);
    const auto events = [retention = retention_.log](pg::Connection& connection) {
        return queue::forget_events(connection, retention);
    };
    auto gone = co_await lane_.run<std::int64_t>(events);
    events_.upkeep_failed("forgetting events", gone);
    while (may_go_on()) {
        const auto job = [retention = retention_.idempotency](pg::Connection& connection) {
            return queue::forget_keys(connection, retention, keys_at_once);
        };
        auto keys = co_await lane_.run<std::int64_t>(job);
        if (events_.upkeep_failed("forgetting keys", keys) || *keys == 0)
            co_return;
        log::debug("keys_forgotten", "forgot {} idempotency keys", *keys);
    }
}

boost::asio::awaitable<void> Housekeeping::vacuum()
{
    const std::function<pg::DbResult<queue::DeadRows>(pg::Connection&)> look = queue::dead_rows;
    auto dead = co_await lane_.run<queue::DeadRows>(look);
    if (events_.upkeep_failed("looking at dead rows", dead))
        co_return;
    if (!dead->wants_vacuum || dead->may_vacuum)
        events_.end(EventKind::vacuum_forbidden, "mailroom.queue");
    if (!dead->wants_vacuum)
        co_return;
    if (!dead->may_vacuum) {
        events_.raise({EventKind::vacuum_forbidden, "mailroom.queue",
                       fmt::format("autovacuum does not keep up with mailroom.queue ({} dead rows), and this login may "
                                   "not VACUUM",
                                   dead->count),
                       fmt::format("let autovacuum look more often (autovacuum_naptime), or GRANT {} TO the service's "
                                   "login",
                                   dead->owner)});
        co_return;
    }
    log::info("queue_vacuumed", "autovacuum does not keep up with mailroom.queue ({} dead rows): VACUUM", dead->count);
    const std::function<pg::DbResult<void>(pg::Connection&)> job = queue::vacuum;
    auto done = co_await lane_.run<void>(job);
    events_.upkeep_failed("VACUUM of the queue", done);
}

// A transaction whose beginning this login may not see is as old as we know it to be.
boost::asio::awaitable<void> Housekeeping::watch_pins()
{
    const std::function<pg::DbResult<std::vector<queue::Pin>>(pg::Connection&)> look = queue::pins;
    auto found = co_await lane_.run<std::vector<queue::Pin>>(look);
    if (events_.upkeep_failed("looking for old transactions", found))
        co_return;
    const auto now = Clock::now();
    std::map<std::string, Known> still;
    for (const auto& pin : *found) {
        const auto known = pins_.find(pin.name);
        Known& entry = still[pin.name];
        entry = known != pins_.end() ? known->second : Known{now, pin.subject};
        if (!entry.is_told && (pin.age.value_or(std::chrono::seconds(0)) >= pins_are_told_after ||
                               now - entry.since >= pins_are_told_after)) {
            entry.is_told = true;
            events_.raise({EventKind::vacuum_pinned, pin.subject,
                           fmt::format("dead rows of the queue cannot be removed: {}", pin.text), pin.remedy});
        }
    }
    std::set<std::string> told; // a transaction that goes on has another horizon with each statement
    for (const auto& [name, entry] : still)
        if (entry.is_told)
            told.insert(entry.subject);
    for (const auto& [name, entry] : pins_)
        if (entry.is_told && !told.contains(entry.subject))
            events_.end(EventKind::vacuum_pinned, entry.subject);
    pins_ = std::move(still);
}

// What only an operator can settle.
boost::asio::awaitable<void> Housekeeping::watch_undecided()
{
    const std::function<pg::DbResult<queue::Undecided>(pg::Connection&)> look = queue::undecided;
    auto found = co_await lane_.run<queue::Undecided>(look);
    if (events_.upkeep_failed("looking at what is in doubt", found))
        co_return;
    const auto tell = [this](EventKind kind, const std::string& subject, std::int64_t messages, const char* text) {
        std::vector<Event> events;
        if (messages > 0)
            events.push_back(
                {kind, subject, fmt::format("waiting for an operator: {} {}", how_many(messages), text), {}});
        events_.only(kind, std::move(events));
    };
    tell(EventKind::messages_in_doubt, rules::place_key(doubt_hold()), found->in_doubt,
         "that may have been sent or not");
    tell(EventKind::messages_quarantined, rules::place_key(quarantine_hold()), found->quarantined,
         "whose dispatcher died three times");
}

// Two daemons of two databases with one name know nothing of each other.
boost::asio::awaitable<void> Housekeeping::watch_server()
{
    const std::function<pg::DbResult<bool>(pg::Connection&)> look = queue::is_elsewhere;
    auto elsewhere = co_await lane_.run<bool>(look);
    if (events_.upkeep_failed("looking which server this is", elsewhere))
        co_return;
    std::vector<Event> events;
    if (*elsewhere)
        events.push_back({EventKind::database_copied,
                          "mailroom.installation",
                          "the database was made on another server, or as another database: it is a copy, or was "
                          "moved. If the original still serves, both send the same mail",
                          {}});
    events_.only(EventKind::database_copied, std::move(events));
}

} // namespace mailroom
