#include "service/courier.hpp"

#include "config/crash_point.hpp"

#include "service/log.hpp"
#include "service/log/outcome.hpp"
#include "service/login.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace mailroom {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr std::uint64_t largest_before = 64 * 1024; // octets of a message behind which the next is begun, ours
constexpr auto pause_after_trouble = std::chrono::seconds(5); // of a message that met a fault of this process, ours

Delivery not_tried(Verdict verdict, Scope scope, Cause cause, std::string text)
{
    Delivery delivery;
    delivery.outcome = {verdict, scope, cause, Stage::connect, 0, {}, std::move(text), std::nullopt};
    return delivery;
}

bool is_over(const Job& job)
{
    return steady_clock::now() >= job.expires;
}

void log_outcome(const queue::Claimed& claimed, const Attempted& attempted, const rules::Judgement& judgement,
                 const Record& record)
{
    if (log::enabled(LogLevel::info))
        log::write(LogLevel::info, log::outcome_of(record), {},
                   log::fields_of(claimed, attempted, judgement, record, system_clock::now()));
}

} // namespace

Courier::Courier(Needs needs) : needs_(std::move(needs)), contents_(needs_.reads), logins_(needs_.writes) {}

boost::asio::awaitable<Route::Ended> Courier::carry(Errand& errand, Round& round)
{
    Job& job = errand.job();
    std::string broken;
    Committing committing = Committing::no;
    Route::Ended ended = Route::Ended::unserved;
    try {
        if (stopping_ || is_over(job) || !needs_.may_begin(job)) {
            round.begun.reset();
            put_back(job.claimed, std::chrono::milliseconds(0), {});
            co_return Route::Ended::troubled; // it says nothing of the server
        }
        needs_.journal.carried(job.claimed);
        if (!job.content) {
            errand.progress().enter(Progress::Step::content_read, steady_clock::now(), Progress::never);
            queue::MessageContent content = co_await contents_.read(job.claimed);
            job.content = std::move(content);
        }
        ended = co_await attempt(errand, round, committing);
    } catch (const std::exception& error) {
        broken = error.what();
    }
    if (broken.empty())
        co_return ended;
    if (committing == Committing::yes) { // never put back as untried what may have gone
        co_await doubt(job, broken);
        co_return Route::Ended::served;
    }
    log::write(LogLevel::warning, "delivery_broke", "a message is put back: " + broken, {{"uid", job.claimed.uid}});
    put_back(job.claimed, pause_after_trouble, broken);
    co_return Route::Ended::troubled;
}

// The next message, if one is at hand and may be begun. What is wrong with it comes out when it is carried.
std::optional<Letter> Courier::next_letter(Round& round)
{
    try {
        if (stopping_)
            return std::nullopt;
        if (!round.next) {
            auto job = round.pop_behind();
            if (!job)
                return std::nullopt;
            round.next = std::make_unique<Errand>(*std::move(job));
            round.next_since = steady_clock::now();
        }
        Errand& next = *round.next;
        if (!next.job().content || is_over(next.job()) || !needs_.may_begin(next.job()))
            return std::nullopt;
        if (!next.is_composed() && !next.compose(needs_.domain, needs_.reads))
            return std::nullopt;
        return next.letter();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

rules::Policy Courier::policy_for(const Job& job) const
{
    rules::Policy policy = needs_.policy;
    const auto resend = needs_.doubts.resend_after(rules::classify(facts_of(job.claimed)), job.identity.paired_as);
    policy.doubt = resend ? rules::Policy::Doubt::resend_once : rules::Policy::Doubt::hold;
    policy.resend_after = resend.value_or(policy.resend_after);
    return policy;
}

// From here on a server may have the message, whatever becomes of this process. Neither without a journal that says so,
// nor under a lease that others may have taken.
boost::asio::awaitable<std::optional<smtp::Loss>> Courier::commit(const Job& job, Committing& committing)
{
    const rules::Policy policy = policy_for(job);
    const bool resends = policy.doubt == rules::Policy::Doubt::resend_once;
    crash_point("commit.before");
    const auto resend_after = resends ? std::optional(policy.resend_after) : std::nullopt;
    const Result<void> recorded = co_await needs_.journal.begun(job.claimed, resend_after);
    crash_point("commit.recorded");
    if (!recorded)
        co_return smtp::Loss{Cause::unrecorded, recorded.error().text};
    if (!needs_.holds(job))
        co_return smtp::Loss{Cause::stopped, "its lease may be over"};
    committing = Committing::yes;
    co_return std::nullopt;
}

// The outcome of a message that may have gone could not be judged or stored: that is a doubt like any other.
boost::asio::awaitable<void> Courier::doubt(const Job& job, const std::string& why)
{
    Delivery delivery = not_tried(Verdict::in_doubt, Scope::message, Cause::none, why);
    delivery.outcome.stage = Stage::final_dot;
    const rules::History history{.attempts = job.claimed.attempts, .doubts = job.claimed.doubts};
    const rules::Judgement judgement = rules::decide(delivery, job.identity, history, policy_for(job), chance());
    const Attempted attempted{
        .table_row = job.table_row, .identity = &job.identity, .delivery = &delivery, .decision = job.decision};
    try {
        co_await store(job.claimed, attempted, judgement, job.snapshot->settings.version);
    } catch (const std::exception& error) { // at a stop without a database: whoever reaps the lease doubts it
        log::write(LogLevel::warning, "doubt_not_stored",
                   fmt::format("a message keeps its lease, its doubt could not be stored: {}", error.what()),
                   {{"uid", job.claimed.uid}});
    }
}

boost::asio::awaitable<Route::Ended> Courier::attempt(Errand& errand, Round& round, Committing& committing)
{
    const Job& job = errand.job();
    const auto started = system_clock::now();
    std::unique_ptr<Begun> begun = std::move(round.begun);
    Delivery delivery;
    crash_point("composing");
    const auto composed = errand.is_composed() ? Result<void>() : errand.compose(needs_.domain, needs_.reads);
    if (composed) {
        const std::function<boost::asio::awaitable<std::optional<smtp::Loss>>()> before_commit =
            [this, &job, &committing] { return commit(job, committing); };
        // A server may look through a large message for minutes: nothing is to wait behind it.
        const bool is_small = errand.letter().content.size() <= largest_before;
        const std::function<std::optional<Letter>()> next = [this, &round, is_small] {
            return is_small ? next_letter(round) : std::nullopt;
        };
        const Parcel parcel{errand.letter(), before_commit, next, begun, job.expires, &errand.progress()};
        delivery = co_await needs_.transport.deliver(parcel);
        crash_point("delivered");
        round.begun = std::move(begun);
        errand.progress().enter(Progress::Step::outcome, steady_clock::now(), Progress::never);
    } else {
        delivery = not_tried(Verdict::give_up, Scope::message, Cause::none, composed.error().text);
    }
    const Addressing addressing = errand.addressing();
    co_return co_await settle(job, addressing, delivery, started);
}

namespace {

Route::Ended ended(const Delivery& delivery, const rules::Judgement& judgement)
{
    const Cause cause = delivery.outcome.cause;
    if (judgement.consequence == rules::Consequence::account_troubled || cause == Cause::stopped ||
        cause == Cause::expired)
        return Route::Ended::troubled;
    if (delivery.outcome.verdict == Verdict::accepted || delivery.outcome.verdict == Verdict::in_doubt)
        return Route::Ended::served;
    return delivery.server.empty() ? Route::Ended::troubled
                                   : Route::Ended::unserved; // it may not have been asked at all
}

} // namespace

boost::asio::awaitable<Route::Ended> Courier::settle(const Job& job, const Addressing& addressing,
                                                     const Delivery& delivery, system_clock::time_point started)
{
    const rules::History history{.attempts = job.claimed.attempts,
                                 .deferrals = std::max(job.claimed.deferrals, job.route->troubles),
                                 .doubts = job.claimed.doubts,
                                 .recipients = static_cast<int>(std::max<std::size_t>(addressing.positions.size(), 1)),
                                 .served_before = addressing.served_before,
                                 .refused_before = addressing.refused_before,
                                 .doubtful_before = addressing.doubtful_before};
    rules::Judgement judgement = rules::decide(delivery, job.identity, history, policy_for(job), chance());
    if (judgement.consequence == rules::Consequence::account_troubled && !needs_.may_begin(job)) {
        judgement.consequence = rules::Consequence::none; // the account as it was: it may be repaired meanwhile
        judgement.transition = rules::RetryAt{std::chrono::milliseconds(0), false};
    }
    if (delivery.outcome.scope != Scope::dispatcher && delivery.outcome.stage > Stage::connect)
        needs_.events.end(rules::EventKind::sending_paused, job.route->account);
    const bool tells_subject = log::has_subjects() && job.content;
    const Attempted attempted{job.table_row, &job.identity,
                              started,       &delivery,
                              &addressing,   tells_subject ? job.content->subject.str() : std::string_view(),
                              job.decision};
    co_await spread(job, delivery.outcome, judgement.consequence);
    queue::PlaceId route = queue::unsorted;
    if (judgement.consequence == rules::Consequence::account_troubled) {
        const auto rest = std::get<rules::RetryAt>(judgement.transition).delay;
        auto place = co_await needs_.account_troubled(job, rest, delivery.outcome.text);
        route = place.value_or(queue::unsorted);
    }
    co_await store(job.claimed, attempted, judgement, job.snapshot->settings.version, route);
    co_await logins_.delivered(job.identity, delivery);
    co_return ended(delivery, judgement);
}

// What a contact found out concerns everybody who has the same login, or sends as the same address by it.
boost::asio::awaitable<void> Courier::spread(const Job& job, const Outcome& outcome, rules::Consequence consequence)
{
    std::string reply =
        fmt::format("{} {}{}{}", outcome.code, outcome.enhanced, outcome.enhanced.empty() ? "" : " ", outcome.text);
    switch (consequence) {
    case rules::Consequence::none:
    case rules::Consequence::account_troubled:
        co_return;
    case rules::Consequence::login_refused:
        co_await pause_login(job.identity, "auth_failed", std::move(reply));
        co_return;
    case rules::Consequence::basic_login_ended:
        co_await pause_login(job.identity, "basic_login_ended", std::move(reply));
        co_return;
    case rules::Consequence::sender_refused:
        co_await stop_sender(job.identity, std::move(reply));
        co_return;
    case rules::Consequence::dispatcher_troubled:
        job.route->pause_is_told = true;
        needs_.events.raise(
            {rules::EventKind::sending_paused, job.route->account, "sending pauses: " + outcome.text, {}});
        needs_.troubled();
        co_return;
    }
}

boost::asio::awaitable<void> Courier::pause_login(const rules::Identity& identity, std::string_view reason,
                                                  std::string reply)
{
    const Result<Login> login = login_for(identity, needs_.keys);
    if (!login)
        co_return;
    const std::string owner = identity.owner_code.empty() ? "general" : "user " + identity.owner_code;
    queue::LoginContact contact{owner, identity.account, identity.host, std::move(reply)};
    const queue::RefusedLogin refused{login->fingerprint, std::string(reason), std::move(contact)};
    const auto write = [refused](pg::Connection& connection) { return queue::refuse_login(connection, refused); };
    auto is_new = co_await needs_.writes.run<bool>(write);
    if (!is_new)
        co_return; // then only this process knows, and keeps to it
    needs_.transport.refusal_is_known(*login);
    if (*is_new && identity.password != nullptr)
        co_await logins_.refused(identity, refused.contact.reply);
}

boost::asio::awaitable<void> Courier::stop_sender(const rules::Identity& identity, std::string reply)
{
    const rules::RefusedPair pair = rules::pair_of(identity);
    const queue::RefusedSender refused{std::string(to_string(pair.mode)),
                                       pair.account,
                                       pair.from.str(),
                                       std::move(reply),
                                       rules::place_key(rules::refused_sender(identity)),
                                       {}};
    const auto write = [refused](pg::Connection& connection) { return queue::refuse_sender(connection, refused); };
    static_cast<void>(co_await needs_.writes.run<bool>(write)); // unwritten, the next message finds it out again
}

boost::asio::awaitable<void> Courier::store(const queue::Claimed& claimed, const Attempted& attempted,
                                            const rules::Judgement& judgement, std::int64_t settings_version,
                                            queue::PlaceId route)
{
    queue::PlaceId place = route;
    std::optional<rules::Hold> hold;
    if (const auto* held = std::get_if<rules::Held>(&judgement.transition))
        hold = held->hold;
    else if (const auto* doubt = std::get_if<rules::InDoubt>(&judgement.transition);
             doubt != nullptr && !doubt->resend_after)
        hold = doubt_hold();
    while (hold) {
        auto found = co_await needs_.places.of(*hold);
        if (found) {
            place = *found;
            break;
        }
        if (found.error().kind == pg::DbError::Kind::stopped)
            throw std::runtime_error(found.error().text);
        // Only the database can say where; until it answers, the message keeps its lease and this connection.
        Wakeup pause(co_await boost::asio::this_coro::executor);
        co_await pause.wait_for(std::chrono::seconds(1));
    }
    const Record record = record_of(claimed, attempted, judgement, place);
    log_outcome(claimed, attempted, judgement, record);
    count(judgement);
    if (const auto* ending = std::get_if<queue::Ending>(&record))
        needs_.completer.end(claimed.dispatcher, *ending);
    else
        needs_.completer.put_back(claimed.dispatcher, settings_version, std::get<queue::Suspension>(record));
}

boost::asio::awaitable<void> Courier::hold(queue::Claimed claimed, std::string table_row, rules::Hold hold,
                                           queue::DecisionId decision, std::int64_t settings_version)
{
    const Attempted attempted{.table_row = std::move(table_row), .decision = decision};
    const rules::Judgement judgement = rules::decide(hold);
    bool stored = false;
    try {
        co_await store(claimed, attempted, judgement, settings_version);
        stored = true;
    } catch (const std::exception& error) {
        log::write(LogLevel::warning, "hold_failed", fmt::format("a message cannot be held: {}", error.what()),
                   {{"uid", claimed.uid}});
    }
    if (!stored)
        put_back(claimed, pause_after_trouble, {});
}

void Courier::put_back(const queue::Claimed& claimed, std::chrono::milliseconds delay, std::string note)
{
    queue::Suspension suspension;
    suspension.id = claimed.id;
    suspension.uid = claimed.uid;
    suspension.lease_no = claimed.lease_no;
    suspension.event = note.empty() ? "returned" : "deferred";
    suspension.delay = delay;
    suspension.note = std::move(note);
    needs_.completer.put_back(claimed.dispatcher, 0, suspension);
}

void Courier::park(const queue::Claimed& claimed, queue::PlaceId route, std::int64_t settings_version)
{
    queue::Suspension suspension;
    suspension.id = claimed.id;
    suspension.lease_no = claimed.lease_no;
    suspension.event = "parked";
    suspension.place = route;
    needs_.completer.put_back(claimed.dispatcher, settings_version, suspension);
}

void Courier::count(const rules::Judgement& judgement)
{
    if (const auto* completed = std::get_if<rules::Completed>(&judgement.transition))
        ++(completed->end == rules::Completed::End::failed ? counts_.failed : counts_.sent);
    else if (std::holds_alternative<rules::RetryAt>(judgement.transition))
        ++counts_.deferred;
    else if (std::holds_alternative<rules::Held>(judgement.transition))
        ++counts_.held;
    else
        ++counts_.in_doubt;
}

} // namespace mailroom
