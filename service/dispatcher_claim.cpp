// Claiming and sorting: what is due comes here, and is decided.
#include "config/crash_point.hpp"
#include "config/text.hpp"

#include "service/dispatcher.hpp"
#include "service/log.hpp"
#include "service/outgoing.hpp"
#include "service/snapshot_events.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

namespace mailroom {
namespace {

using rules::EventKind;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto look_for_suspects_every = std::chrono::seconds(1);
constexpr auto review_holds_every = std::chrono::minutes(1);
constexpr auto pause_of_recording = std::chrono::seconds(5); // after a failure, ours
constexpr std::int64_t small_message =
    65'536; // octets; up to this its content comes with the batch's, attachments included

} // namespace

bool Dispatcher::may_claim() const
{
    return enrollment_.id() && !claim_is_unknown_ && steady_clock::now() >= claims_paused_until_ &&
           completer_.unflushed() < Completer::max_unflushed;
}

std::vector<queue::Range> Dispatcher::wanted(queue::DispatcherId id)
{
    const auto now = steady_clock::now();
    const bool idle = senders_ < setup_.file.dispatcher.connections && routes_.may_begin(now) == 0;
    std::vector<queue::Range> ranges = routes_.ranges(idle ? Routes::Idle::yes : Routes::Idle::no, id, now);
    if (!routes_.has_suspect() && (looks_for_suspects_ > 0 || now >= next_look_for_suspects_)) {
        // One in all: the lanes take turns.
        looks_for_suspects_ = std::max(looks_for_suspects_ - 1, 0);
        suspect_lane_ = static_cast<Lane>((static_cast<std::size_t>(suspect_lane_) + 1) % lane_count);
        ranges.push_back({queue::suspects, suspect_lane_, 1, {}});
        next_look_for_suspects_ = now + look_for_suspects_every;
    }
    low_water_.mark(ranges, now);
    return ranges;
}

boost::asio::awaitable<void> Dispatcher::claim_loop()
{
    std::minstd_rand random{std::random_device{}()};
    int full_claims = 0;
    while (!stopping_) {
        claim_wakeup_.came_by();
        const auto poll = setup_.file.dispatcher.poll;
        if (claim_is_unknown_)
            co_await hand_back_unknown_claims();
        const auto id = enrollment_.id();
        if (id && (!snapshot_ || snapshot_->settings.version < enrollment_.settings_version()))
            co_await reload_settings();
        if (id && snapshot_)
            co_await keeper_.look(*id, snapshot_->settings);
        free_the_waiting();
        start_senders(); // a limit or a block may be over
        std::vector<queue::Range> ranges;
        if (id && may_claim())
            ranges = wanted(*id);
        if (ranges.empty()) {
            // A sender that takes the last but low_water job wakes this; so do the enrolment and the completer's
            // progress, by the poll.
            co_await claim_wakeup_.wait_for(until_next_turn(std::min<steady_clock::duration>(poll, milliseconds(100))));
            continue;
        }
        const std::size_t before = claimed_;
        claiming_ = true;
        co_await claim_batch(*id, std::move(ranges));
        claiming_ = false;
        // Saturated, nobody needs to wake us; the flag changes after some full claims, not with each message.
        const bool full = claimed_ - before >= queue::max_batch / 2;
        full_claims = full ? full_claims + 1 : 0;
        enrollment_.want_wake(full_claims < 4);
        if (claimed_ != before || (looks_for_suspects_ > 0 && may_claim() && !routes_.has_suspect()))
            continue;
        const auto rest = low_water_.rest(poll + poll * static_cast<int>(random() % 100) / 1000, steady_clock::now());
        co_await claim_wakeup_.wait_for(until_next_turn(rest));
    }
}

steady_clock::duration Dispatcher::until_next_turn(steady_clock::duration longest) const
{
    const auto now = steady_clock::now();
    auto wait = longest;
    if (const auto turn = routes_.next_turn(now))
        wait = std::min(wait, *turn - now);
    return look_again_ > now ? std::min(wait, look_again_ - now) : wait;
}

// A claim without an answer may have worked: then messages are leased to us that we do not know. Those that we know
// were leased before it began.
boost::asio::awaitable<void> Dispatcher::hand_back_unknown_claims()
{
    const auto id = enrollment_.id();
    if (!id)
        co_return;
    const auto job = [dispatcher = *id, since = leased_until_, times = handed_back_by(*id)](
                         pg::Connection& connection) { return queue::hand_back(connection, dispatcher, since, times); };
    auto handed_back = co_await claim_lane_.run<queue::HandedBack>(job);
    if (!handed_back) {
        tell_of_failure(EventKind::claim_failed, "cannot claim messages", handed_back.error());
        co_return;
    }
    handed_back_by(*id) = handed_back->times;
    claim_is_unknown_ = handed_back->too_late || handed_back->locked > 0;
    if (handed_back->messages > 0)
        log::info("claim_was_lost", "a claim without an answer had worked: {} put back to be claimed again",
                  count_of(handed_back->messages, "message"));
}

std::int64_t& Dispatcher::handed_back_by(queue::DispatcherId id)
{
    if (hand_backs_.by != id)
        hand_backs_ = {id, 0};
    return hand_backs_.times;
}

boost::asio::awaitable<void> Dispatcher::claim_batch(queue::DispatcherId id, std::vector<queue::Range> ranges)
{
    const auto began = steady_clock::now();
    const auto job = [id, ranges, times = handed_back_by(id)](pg::Connection& connection) {
        return queue::claim(connection, id, ranges, times);
    };
    auto claim = co_await claim_lane_.run<queue::Claim>(job);
    if (!claim) {
        claim_is_unknown_ = claim.error().connection_is_gone();
        if (claim_is_unknown_ &&
            claim.error().kind != pg::DbError::Kind::timed_out) // it was not too much that it asked for
            low_water_.look_at_all();
        tell_of_failure(EventKind::claim_failed, "cannot claim messages", claim.error());
        co_return;
    }
    events_.end(EventKind::claim_failed);
    unreachable_since_.reset();
    crash_point("claimed");
    const auto ended = steady_clock::now();
    low_water_.claimed(claim->messages, began, ended);
    routes_.claimed(ranges, claim->messages, ended);
    claimed_ += claim->messages.size();
    leased_until_ = std::max(leased_until_, claim->leased_until);
    const auto is_suspect = [](const queue::Claimed& message) { return message.place == queue::suspects; };
    if (std::ranges::any_of(claim->messages, is_suspect))
        looks_for_suspects_ = static_cast<int>(lane_count); // where one was there may be many: no second between them
    if (claim->messages.empty())
        co_return;
    // Nothing is decided by older settings than the claim saw.
    const auto newest = std::max(claim->settings_version, enrollment_.settings_version());
    bool current = snapshot_ && snapshot_->settings.version >= newest;
    if (!current)
        current = co_await reload_settings();
    if (current && !stopping_) {
        co_await sort(std::move(claim->messages), began);
        co_return;
    }
    for (const auto& claimed : claim->messages)
        courier_.put_back(claimed, std::chrono::seconds(stopping_ ? 0 : 1), {});
}

boost::asio::awaitable<bool> Dispatcher::reload_settings()
{
    const auto job = [](pg::Connection& connection) { return queue::load_settings(connection); };
    auto stored = co_await claim_lane_.run<queue::StoredSettings>(job);
    if (!stored) {
        tell_of_failure(EventKind::settings_unreadable, "cannot read the mail settings", stored.error());
        co_return false;
    }
    events_.end(EventKind::settings_unreadable);
    snapshot_ = make_snapshot(*std::move(stored), keyring());
    tell_of_snapshot(events_, *snapshot_, keyring());
    enrollment_.settings_loaded(snapshot_->settings.version);
    transport_.settings_changed(*snapshot_);
    keeper_.put_back_ready(); // decided by older settings, limits among them
    routes_.settings_changed(snapshot_->settings, steady_clock::now());
    keeper_.look_soon(); // the change may have opened some that were blocked
    review_.wake();
    co_return true;
}

// Whether the database is there at all, the heartbeat finds out. If that has its connection and claims get none, there
// are too few for all.
void Dispatcher::tell_of_failure(EventKind kind, const std::string& what, const pg::DbError& error)
{
    using Kind = pg::DbError::Kind;
    const bool alone =
        error.kind == Kind::unreachable && unreachable_since_ && enrollment_.beaten_at() > *unreachable_since_;
    if (error.kind == Kind::refused || error.kind == Kind::timed_out || alone) {
        events_.raise({kind, {}, fmt::format("{}: {}", what, pg::explain(error)), {}});
        return;
    }
    if (error.kind == Kind::unreachable && !unreachable_since_)
        unreachable_since_ = steady_clock::now();
    enrollment_.look();
}

// What nobody can send is held; what has no room waits at its route; the rest is ready.
boost::asio::awaitable<void> Dispatcher::sort(std::vector<queue::Claimed> claimed, steady_clock::time_point since)
{
    const std::shared_ptr<const Snapshot> snapshot = snapshot_;
    const auto now = steady_clock::now();
    decisions_.by(snapshot, now);
    std::vector<Job> jobs;
    jobs.reserve(claimed.size());
    for (auto& message : claimed) {
        claim_wakeup_.came_by();
        const auto expires = expiry_of(message, setup_.file.retry.max_age, since);
        if (expires <= now) { // the sweep ends it
            courier_.put_back(message, setup_.file.dispatcher.lease, {});
            upkeep_.soon();
            continue;
        }
        Decisions::Decided decided = decisions_.on(message);
        if (const rules::Hold* hold = decided.decision.hold(); hold != nullptr) {
            co_await courier_.hold(message, decided.decision.table_row, *hold, decided.id, snapshot->settings.version);
            continue;
        }
        Job job{std::move(message),
                std::move(decided.decision.table_row),
                decided.id,
                std::get<rules::Identity>(std::move(decided.decision.answer)),
                snapshot,
                std::nullopt,
                nullptr,
                0,
                expires};
        job.route = &routes_.of(route_of(job.identity), snapshot->settings, steady_clock::now());
        const bool taken = co_await keeper_.takes(job);
        if (taken)
            jobs.push_back(std::move(job));
        else
            co_await keeper_.park(job);
    }
    crash_point("sorted");
    if (decisions_.has_unrecorded())
        recording_.wake();
    co_await fetch_content(jobs);
    crash_point("content.read");
    for (Job& job : jobs) {
        if (job.route->blocked(steady_clock::now())) { // since a moment
            routes_.leave(job);
            co_await keeper_.park(job);
            continue;
        }
        routes_.push(std::move(job));
    }
    start_senders();
}

// Beside all that carries mail: nobody waits for it. A stop writes what is left, if the database takes it.
boost::asio::awaitable<void> Dispatcher::record_decisions()
{
    while (!stopping_ || decisions_.has_unrecorded()) {
        if (!decisions_.has_unrecorded()) {
            co_await recording_.wait_for(std::chrono::minutes(1)); // sorting wakes it
            continue;
        }
        auto batch = decisions_.take_unrecorded(queue::max_batch);
        const auto write = [&batch](pg::Connection& connection) { return queue::record_decisions(connection, batch); };
        const auto done = co_await upkeep_lane_.run<void>(write);
        if (!events_.upkeep_failed("recording why messages are decided as they are", done))
            continue;
        decisions_.give_back(std::move(batch));
        if (stopping_)
            co_return;
        const auto again = steady_clock::now() + pause_of_recording;
        while (!stopping_ && steady_clock::now() < again)
            co_await recording_.wait_for(again - steady_clock::now());
    }
}

boost::asio::awaitable<void> Dispatcher::fetch_content(std::vector<Job>& jobs)
{
    std::map<queue::Generation, std::vector<Job*>> small;
    for (Job& job : jobs) {
        if (job.claimed.size <= small_message)
            small[job.claimed.generation].push_back(&job);
    }
    for (auto& [generation, wanted] : small) {
        std::vector<queue::MessageId> ids;
        auto results = queue::Results::none;
        for (const Job* job : wanted) {
            ids.push_back(job->claimed.id);
            if (job->claimed.has_results)
                results = queue::Results::wanted;
        }
        const auto read = [generation = generation, &ids, results](pg::Connection& connection) {
            return queue::read_content(connection, generation, ids, results, small_message);
        };
        auto contents = co_await read_lane_.run<std::map<queue::MessageId, queue::MessageContent>>(read);
        if (!contents)
            continue; // each is read when it is sent; if that fails as well, it is put back
        for (Job* job : wanted) {
            if (const auto found = contents->find(job->claimed.id); found != contents->end())
                job->content = std::move(found->second);
        }
    }
}

// Whose settings a hold waits for is known of the hold, not of each message in it, a notification may be lost, and not
// every cause is a setting of ours: after each change, and now and then, all that is held is decided again, once for
// what is decided alike.
boost::asio::awaitable<void> Dispatcher::review_holds()
{
    auto rests_until = steady_clock::now();
    while (!stopping_) {
        co_await review_.wait_for(review_holds_every); // or until the settings changed
        while (!stopping_ && steady_clock::now() < rests_until)
            co_await review_.wait_for(rests_until - steady_clock::now());
        if (stopping_ || !enrollment_.id() || !snapshot_)
            continue;
        const auto began = steady_clock::now();
        tell_of_snapshot(events_, *snapshot_, keyring());
        const std::function<pg::DbResult<std::vector<queue::HeldAlike>>(pg::Connection&)> read = queue::held_alike;
        auto held = co_await upkeep_lane_.run<std::vector<queue::HeldAlike>>(read);
        // Many who save one after the other must not keep the database busy with this: ours, a tenth of the time.
        rests_until = steady_clock::now() + 9 * (steady_clock::now() - began);
        if (events_.upkeep_failed("looking at what is held", held) ||
            snapshot_->settings.version < enrollment_.settings_version())
            continue;
        co_await release_where_the_reason_is_gone(*std::move(held));
    }
}

boost::asio::awaitable<void> Dispatcher::release_where_the_reason_is_gone(std::vector<queue::HeldAlike> held)
{
    const auto snapshot = snapshot_;
    const auto stays = [&snapshot](const queue::HeldAlike& some) {
        const auto decision = rules::resolve_sender(facts_of(some.message), snapshot->settings, snapshot->knowledge);
        return decision.hold() != nullptr && rules::place_key(*decision.hold()) == some.key;
    };
    for (auto first = held.begin(); first != held.end() && !stopping_;) {
        const auto end =
            std::find_if(first, held.end(), [first](const auto& some) { return some.place != first->place; });
        const auto gone = std::partition(first, end, stays);
        if (gone == first) { // all of it
            const auto release = [place = first->place](pg::Connection& connection) {
                return queue::release_place(connection, place);
            };
            static_cast<void>(co_await upkeep_lane_.run<void>(release));
            upkeep_.soon();
        } else if (gone != end) {
            std::vector<queue::HeldAlike> some(gone, end);
            co_await upkeep_.release_alike(std::move(some));
        }
        first = end;
    }
}

} // namespace mailroom
