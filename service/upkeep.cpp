#include "service/upkeep.hpp"

#include "service/log.hpp"
#include "service/outgoing.hpp"

#include <utility>

namespace mailroom {
namespace {

constexpr int step = 1000; // messages in one statement

} // namespace

Upkeep::Upkeep(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places,
               const Enrollment& enrollment, rules::Policy policy, std::chrono::milliseconds interval,
               std::function<void()> moved)
    : lane_(lane),
      places_(places),
      enrollment_(enrollment),
      policy_(policy),
      interval_(interval),
      moved_(std::move(moved)),
      wakeup_(executor)
{}

void Upkeep::stop()
{
    stopping_ = true;
    wakeup_.wake();
}

boost::asio::awaitable<void> Upkeep::run()
{
    while (!stopping_) {
        if (const auto id = enrollment_.id()) {
            co_await retry_senders();
            co_await release();
            co_await reap(*id);
            co_await expire();
        }
        co_await wakeup_.wait_for(interval_);
    }
}

boost::asio::awaitable<void> Upkeep::release()
{
    for (;;) {
        const auto job = [](pg::Connection& connection) { return queue::release(connection, step); };
        auto released = co_await lane_.run<queue::Released>(job);
        if (!released || released->all == 0 || stopping_)
            co_return;
        if (released->held > 0)
            log::info("released {} held messages: a setting or a status changed", released->held);
        moved_();
    }
}

boost::asio::awaitable<void> Upkeep::retry_senders()
{
    const std::function<pg::DbResult<std::int64_t>(pg::Connection&)> job = queue::retry_senders;
    auto due = co_await lane_.run<std::int64_t>(job);
    if (due && *due > 0)
        log::info("{} refused senders are tried again", *due);
}

boost::asio::awaitable<void> Upkeep::reap(queue::DispatcherId id)
{
    auto held = co_await places_.of(doubt_hold());
    auto quarantine = co_await places_.of(quarantine_hold());
    if (!held || !quarantine)
        co_return;
    if (std::chrono::steady_clock::now() >= next_look_for_orphans_) {
        const std::function<pg::DbResult<std::int64_t>(pg::Connection&)> look = queue::list_orphans;
        static_cast<void>(co_await lane_.run<std::int64_t>(look)); // what it finds is reaped like the rest
        next_look_for_orphans_ = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    }
    const auto resend =
        policy_.doubt == rules::Policy::Doubt::resend_once ? std::optional(policy_.resend_after) : std::nullopt;
    const queue::Doubts doubts{resend, *held, *quarantine};
    for (;;) {
        const auto job = [id, doubts](pg::Connection& connection) { return queue::reap(connection, id, doubts); };
        auto reaped = co_await lane_.run<queue::Reaped>(job);
        if (!reaped || reaped->messages == 0 || stopping_)
            co_return;
        log::warning(
            "a dispatcher died or was cut off: {} messages that it had are in doubt, {} of them held for an operator",
            reaped->messages, reaped->held);
        moved_();
    }
}

boost::asio::awaitable<void> Upkeep::expire()
{
    for (;;) {
        const auto job = [](pg::Connection& connection) { return queue::expire(connection, step); };
        auto expired = co_await lane_.run<std::int64_t>(job);
        if (!expired || *expired == 0 || stopping_)
            co_return;
        log::warning("{} messages expired before they could be sent", *expired);
    }
}

} // namespace mailroom
