#include "service/upkeep.hpp"

#include "config/crash_point.hpp"
#include "config/text.hpp"

#include "service/log.hpp"
#include "service/outgoing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace mailroom {
namespace {

void tell_reaped(const queue::Reaped& reaped)
{
    for (const auto& [uid, event, note] : reaped.each) {
        if (event == "dispatcher_died") // nothing of it had gone out: it goes on as if nothing had been
            continue;
        const log::Fields fields{{"uid", uid}, {"note", note}};
        if (event == "quarantined")
            log::write(LogLevel::info, "quarantined", {}, fields);
        else
            log::write(LogLevel::info, "in_doubt", {}, fields);
    }
}

void tell_ended(const std::vector<queue::Expired>& ended)
{
    std::int64_t late = 0;
    for (const auto& [uid, user_code, recipients, outcome, note, category] : ended) {
        if (outcome != "cancelled")
            ++late;
        log::Fields fields{{"uid", uid}, {"category", category}};
        if (!user_code.empty())
            fields.push_back({"user", user_code});
        fields.push_back({"recipients", std::int64_t{recipients}});
        fields.push_back({"note", note});
        log::write(LogLevel::info, outcome, {}, fields);
    }
    if (late > 0)
        log::warning("messages_expired", "{} expired unsent", count_of(late, "message"));
}

} // namespace

Upkeep::Upkeep(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places,
               const Enrollment& enrollment, Inheritance& inheritance, Events& events, rules::Policy policy,
               rules::DoubtRules doubts, std::chrono::milliseconds interval, std::function<void()> moved)
    : lane_(lane),
      places_(places),
      enrollment_(enrollment),
      inheritance_(inheritance),
      events_(events),
      policy_(policy),
      doubts_(std::move(doubts)),
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
            co_await inherit();
            co_await reap(*id);
            co_await expire();
        }
        co_await wakeup_.wait_for(interval_);
    }
}

boost::asio::awaitable<void> Upkeep::release()
{
    for (;;) {
        const auto job = [](pg::Connection& connection) { return queue::release(connection, most_at_once); };
        auto released = co_await lane_.run<queue::Released>(job);
        if (events_.upkeep_failed("releasing messages", released) || released->all == 0 || stopping_)
            co_return;
        tell_released(released->held);
    }
}

boost::asio::awaitable<void> Upkeep::release_alike(std::vector<queue::HeldAlike> some)
{
    while (!stopping_) {
        const auto job = [&some](pg::Connection& connection) {
            return queue::release_alike(connection, some, most_at_once);
        };
        auto released = co_await lane_.run<std::int64_t>(job);
        if (events_.upkeep_failed("releasing messages", released) || *released == 0)
            co_return;
        tell_released(*released);
    }
}

void Upkeep::tell_released(std::int64_t held)
{
    if (held > 0)
        log::info("released", "released {}: a setting or a status changed", count_of(held, "held message"));
    moved_();
}

boost::asio::awaitable<void> Upkeep::retry_senders()
{
    const std::function<pg::DbResult<std::int64_t>(pg::Connection&)> job = queue::retry_senders;
    auto due = co_await lane_.run<std::int64_t>(job);
    if (!events_.upkeep_failed("looking for senders to try again", due) && *due > 0)
        log::info("senders_retried", "{} refused senders are tried again", *due);
}

// What a dispatcher of this machine left that died while this one lives.
boost::asio::awaitable<void> Upkeep::inherit()
{
    const auto job = [this](pg::Connection& connection) { return inheritance_.take(connection); };
    auto left = co_await lane_.run<journal::Replay>(job);
    if (!events_.upkeep_failed("reading the journals of dead dispatchers", left))
        inheritance_.tell(*left);
}

boost::asio::awaitable<void> Upkeep::reap(queue::DispatcherId id)
{
    auto held = co_await places_.of(doubt_hold());
    auto quarantine = co_await places_.of(quarantine_hold());
    if (events_.upkeep_failed("looking up where what is in doubt waits", held) ||
        events_.upkeep_failed("looking up the quarantine", quarantine))
        co_return;
    if (std::chrono::steady_clock::now() >= next_look_for_orphans_) {
        const std::function<pg::DbResult<std::int64_t>(pg::Connection&)> look = queue::list_orphans;
        auto found = co_await lane_.run<std::int64_t>(look); // what it finds is reaped like the rest
        events_.upkeep_failed("looking for messages without a dispatcher", found);
        next_look_for_orphans_ = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    }
    queue::Doubts doubts{{}, *held, *quarantine};
    for (const Category category : {Category::standard, Category::mass, Category::dispatch, Category::mobile})
        doubts.resend_after.emplace(to_string(category), doubts_.resend_after(category));
    std::string dispatchers;
    std::int64_t messages = 0;
    std::int64_t for_operator = 0;
    std::int64_t untried = 0;
    while (!stopping_) {
        const auto job = [id, doubts](pg::Connection& connection) { return queue::reap(connection, id, doubts); };
        auto reaped = co_await lane_.run<queue::Reaped>(job);
        if (events_.upkeep_failed("reaping the leases of dead dispatchers", reaped) || reaped->messages == 0)
            break;
        crash_point("reaped");
        tell_reaped(*reaped);
        if (messages == 0)
            dispatchers = reaped->dispatchers;
        messages += reaped->messages;
        for_operator += reaped->held;
        untried += reaped->untried;
        moved_();
    }
    if (messages > 0)
        events_.raise(
            {rules::EventKind::dispatcher_died,
             dispatchers,
             fmt::format("{} died or was cut off with {} in hand: {} in doubt, {} of them held for an operator; "
                         "the rest had not begun and goes on",
                         dispatchers, count_of(messages, "message"), messages - untried, for_operator),
             {}});
}

boost::asio::awaitable<void> Upkeep::expire()
{
    for (;;) {
        const auto job = [limit = expire_step_, max_age = policy_.max_age](pg::Connection& connection) {
            return queue::expire(connection, limit, max_age);
        };
        auto expired = co_await lane_.run<std::vector<queue::Expired>>(job);
        const bool took_too_long = !expired && expired.error().kind == pg::DbError::Kind::timed_out;
        expire_step_ = took_too_long ? std::max(expire_step_ / 4, 10) : std::min(expire_step_ * 2, most_at_once);
        if (events_.upkeep_failed("ending what is past its expiry", expired) || expired->empty() || stopping_)
            co_return;
        tell_ended(*expired);
    }
}

} // namespace mailroom
