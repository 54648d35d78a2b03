#include "service/dispatcher.hpp"

#include "config/crash_point.hpp"
#include "config/text.hpp"

#include "service/journal/database_journal.hpp"
#include "service/journal/file_journal.hpp"
#include "service/log.hpp"
#include "service/outgoing.hpp"
#include "service/rules/resolve_sender.hpp"
#include "service/snapshot_events.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <random>
#include <unistd.h>
#include <utility>

namespace mailroom {
namespace {

using rules::EventKind;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of several producers that commit within 5 ms one notifies for all (mailroom.enqueue), and the others may be later.
constexpr auto look_again_after = milliseconds(15);
constexpr auto look_for_suspects_every = std::chrono::seconds(1);
constexpr auto longest_behind = std::chrono::seconds(2); // the next message for the reply to the one before, ours
constexpr auto review_holds_every = std::chrono::minutes(1);
constexpr std::int64_t small_message =
    65'536; // octets; up to this its content comes with the batch's, attachments included
constexpr auto pause_of_a_troubled_dispatcher = std::chrono::seconds(10);
constexpr auto last_seconds = std::chrono::seconds(5); // after a second signal
constexpr auto margin = std::chrono::minutes(1);       // after which a delivery that is over its limits is a bug, ours

rules::Policy policy_of(const ServiceFile& file)
{
    rules::Policy policy;
    policy.max_attempts = file.retry.max_attempts;
    policy.max_age = file.retry.max_age;
    return policy; // of doubt: rules::DoubtRules
}

pg::Source source_of(const ServiceFile& file)
{
    // The planner takes a table that fills and empties all day for as large as its last statistics say: every statement
    // of a dispatcher reaches its rows by key, and must never walk the whole queue for them.
    return {file.database.connection, "mailroom serve",
            "-c enable_seqscan=off -c jit=off -c plan_cache_mode=force_generic_plan", file.database.pooled};
}

std::unique_ptr<Journal> make_journal(const boost::asio::any_io_executor& executor, const Dispatcher::Setup& setup,
                                      Events& events)
{
    switch (setup.file.journal.store) {
    case JournalStore::file: {
        const auto outlives = setup.file.journal.sync == JournalSync::machine ? FileJournal::Setup::Outlives::machine
                                                                              : FileJournal::Setup::Outlives::process;
        return std::make_unique<FileJournal>(
            executor,
            FileJournal::Setup{setup.journal_folder, outlives, setup.file.journal.keep, setup.host, MAILROOM_VERSION},
            events);
    }
    case JournalStore::database:
        return std::make_unique<DatabaseJournal>(executor, source_of(setup.file));
    case JournalStore::none:
        break;
    }
    return std::make_unique<Journal>();
}

// Ours: one slow or broken server delays only its own mail.
int connections_per_account(const ServiceFile::Dispatcher& dispatcher)
{
    const int quarter = std::max(1, dispatcher.connections / 4);
    return dispatcher.connections_per_account > 0 ? std::min(dispatcher.connections_per_account, dispatcher.connections)
                                                  : quarter;
}

} // namespace

Dispatcher::Dispatcher(boost::asio::io_context& io, Setup setup, Transport& transport)
    : io_(io),
      setup_(std::move(setup)),
      transport_(transport, setup_.file.safety),
      claim_lane_(source_of(setup_.file)),
      write_lane_(source_of(setup_.file)),
      read_lane_(source_of(setup_.file)),
      beat_lane_(source_of(setup_.file)),
      upkeep_lane_(source_of(setup_.file)),
      places_(upkeep_lane_),
      events_(io.get_executor(), upkeep_lane_, setup_.host),
      journal_(make_journal(io.get_executor(), setup_, events_)),
      inheritance_(setup_.file.journal.store == JournalStore::file ? setup_.journal_folder : "", events_),
      completer_(io.get_executor(), write_lane_, places_, events_, *journal_),
      enrollment_(io.get_executor(), beat_lane_,
                  {setup_.host, ::getpid(), MAILROOM_VERSION,
                   setup_.keys ? setup_.keys->ids() : std::vector<std::string>(), setup_.file.dispatcher.lease,
                   journal_->marks()},
                  setup_.file.installation.name, inheritance_, *journal_, events_,
                  [this] {
                      low_water_.look_at_all(); // also after a trouble, in which messages were put back
                      claim_wakeup_.wake();
                      upkeep_.soon();
                  }),
      courier_({read_lane_, upkeep_lane_, transport_, completer_, places_, events_, *journal_, keyring(),
                setup_.file.installation.domain, policy_of(setup_.file), rules::DoubtRules(setup_.file.doubt),
                [this] { claims_paused_until_ = steady_clock::now() + pause_of_a_troubled_dispatcher; },
                [this](const Job& job) { return holds(job); }, [this](const Job& job) { return may_begin(job); },
                [this](const Job& job, std::chrono::milliseconds rest, std::string why) {
                    return keeper_.account_troubled(job, rest, std::move(why));
                }}),
      upkeep_(io.get_executor(), upkeep_lane_, places_, enrollment_, inheritance_, events_, policy_of(setup_.file),
              rules::DoubtRules(setup_.file.doubt), setup_.file.dispatcher.lease / 4, [this] { claim_wakeup_.wake(); }),
      housekeeping_(io.get_executor(), source_of(setup_.file), enrollment_, events_, setup_.file.retention),
      routes_(connections_per_account(setup_.file.dispatcher)),
      keeper_(routes_, places_, courier_, claim_lane_, upkeep_lane_, events_),
      claim_wakeup_(io.get_executor()),
      progress_(io.get_executor()),
      review_(io.get_executor())
{}

Dispatcher::~Dispatcher() = default;

// Every coroutine of the dispatcher is counted, so that run() can wait for all of them.
template <class Coroutine>
void Dispatcher::spawn(Coroutine coroutine)
{
    ++loops_;
    boost::asio::co_spawn(io_, std::move(coroutine), [this](const std::exception_ptr& broken) {
        --loops_;
        progress_.wake();
        if (broken)
            std::rethrow_exception(broken); // ends the service: a loop that is gone would be mail that waits for ever
    });
}

boost::asio::awaitable<void> Dispatcher::run()
{
    if (!setup_.keys)
        events_.raise(
            {EventKind::no_key, {}, "no sealing key ([secrets] key_file): mail that needs a password is held", {}});
    tell_safety();
    spawn(events_.run());
    spawn(enrollment_.run());
    spawn(completer_.run());
    spawn(journal_->run());
    spawn(upkeep_.run());
    spawn(housekeeping_.run());
    spawn(claim_loop());
    spawn(review_holds());
    if (!setup_.file.database.pooled) // behind a pooler the poll alone finds what is new
        listener_ = std::make_unique<queue::Listener>(
            source_of(setup_.file), std::vector<std::string>{"mailroom_wake", "mailroom_settings"},
            [this](const pg::Notification& notification) {
                boost::asio::post(io_, [this, notification] { heard(notification); });
            });
    while (!stopping_) {
        const auto interval = std::clamp<milliseconds>(setup_.file.smtp.idle, milliseconds(100), milliseconds(5'000));
        co_await progress_.wait_for(interval);
        watch();
        co_await transport_.tidy();
    }
    co_await wind_down();
}

void Dispatcher::tell_safety()
{
    const std::string safety = describe(setup_.file.safety);
    events_.end(EventKind::safety_on); // what it does may be another thing now
    if (!safety.empty())
        events_.raise({EventKind::safety_on, {}, "this is a test system: " + safety, {}});
    enrollment_.announce(safety);
}

void Dispatcher::heard(const pg::Notification& notification)
{
    // Anybody may notify: it is a hint to look, never a fact. The listener's own comes after a new connection.
    if (notification.channel != "mailroom_wake") {
        enrollment_.look();
        upkeep_.soon();
    } else if (!notification.payload.empty()) { // another dispatcher parked at a route that only its owner sends by
        queue::PlaceId place = 0;
        std::from_chars(notification.payload.data(), notification.payload.data() + notification.payload.size(), place);
        const Route* const route = routes_.at(place);
        if (route == nullptr || !enrollment_.id() || !route->is_ours(*enrollment_.id()))
            return;
        keeper_.look_soon();
    }
    look_again_ = steady_clock::now() + look_again_after;
    claim_wakeup_.wake();
}

// ---- claiming

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
        co_await claim_wakeup_.wait_for(until_next_turn(poll + poll * static_cast<int>(random() % 100) / 1000));
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
        if (decided.decision.hold() != nullptr) {
            co_await courier_.hold(message, std::move(decided), snapshot->settings.version);
            continue;
        }
        Job job{std::move(message),
                std::move(decided.decision.table_row),
                decided.why,
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
    co_await record_decisions();
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

// Nobody waits for it but the sorting: mail goes also where it fails, and the next sorting tries it again.
boost::asio::awaitable<void> Dispatcher::record_decisions()
{
    if (decisions_.unrecorded().empty())
        co_return;
    const auto write = [&why = decisions_.unrecorded()](pg::Connection& connection) {
        return queue::record_decisions(connection, why);
    };
    const auto done = co_await claim_lane_.run<void>(write);
    if (!events_.upkeep_failed("recording why messages are decided as they are", done))
        decisions_.recorded();
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

// A notification may be lost, and not every cause of a hold is a setting of ours: of each hold one message is decided
// again. Where it would not be held there any more, all are let go.
boost::asio::awaitable<void> Dispatcher::review_holds()
{
    while (!stopping_) {
        co_await review_.wait_for(review_holds_every);
        if (stopping_ || !enrollment_.id() || !snapshot_)
            continue;
        tell_of_snapshot(events_, *snapshot_, keyring());
        const std::function<pg::DbResult<std::vector<queue::HeldSample>>(pg::Connection&)> read = queue::held_samples;
        auto samples = co_await upkeep_lane_.run<std::vector<queue::HeldSample>>(read);
        if (!samples || snapshot_->settings.version < enrollment_.settings_version())
            continue;
        for (const auto& sample : *samples) {
            const rules::Decision decision = decide_sender(facts_of(sample.message), sample.message.pinned,
                                                           snapshot_->settings, snapshot_->knowledge)
                                                 .decision;
            if (decision.hold() != nullptr && rules::place_key(*decision.hold()) == sample.key)
                continue;
            const auto release = [place = sample.place](pg::Connection& connection) {
                return queue::release_place(connection, place);
            };
            static_cast<void>(co_await upkeep_lane_.run<void>(release));
            upkeep_.soon();
        }
    }
}

// ---- sending

void Dispatcher::start_senders()
{
    // Also while stopping: a claim may have come too late, and its messages are to be put back.
    const int free = setup_.file.dispatcher.connections - senders_;
    for (int more = std::min(routes_.may_begin(steady_clock::now()), free); more > 0; --more) {
        ++senders_;
        spawn(send_jobs());
    }
}

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

void Dispatcher::reload(ServiceFile file)
{
    const bool is_as_safe = setup_.file.safety == file.safety;
    setup_.file = std::move(file);
    if (!is_as_safe) {
        transport_.follow(setup_.file.safety);
        tell_safety();
    }
    const rules::Policy policy = policy_of(setup_.file);
    courier_.follow(policy, rules::DoubtRules(setup_.file.doubt));
    upkeep_.follow(policy, rules::DoubtRules(setup_.file.doubt));
    housekeeping_.follow(setup_.file.retention);
    routes_.allow(connections_per_account(setup_.file.dispatcher));
    if (snapshot_)
        routes_.settings_changed(snapshot_->settings, steady_clock::now());
    claim_wakeup_.wake();
    progress_.wake();
}

Dispatcher::State Dispatcher::state() const
{
    const auto now = steady_clock::now();
    const auto& counts = courier_.counts();
    State state{.standing = enrollment_.standing(),
                .trouble = enrollment_.trouble(),
                .waiting = routes_.ready(),
                .sending = senders_,
                .ended = counts.sent + counts.failed + counts.deferred + counts.held + counts.in_doubt,
                .stopping = stopping_};
    if (snapshot_)
        state.paused = static_cast<int>(snapshot_->refused_logins.size());
    state.blocked = static_cast<int>(
        std::ranges::count_if(routes_.all(), [now](const auto& entry) { return entry.second.blocked(now); }));
    return state;
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

// ---- stopping

void Dispatcher::stop()
{
    if (stopping_)
        return;
    log::info("stopping", "nothing new begins, replies that are due are awaited for up to {} s",
              setup_.file.dispatcher.stop_limit.count() / 1000);
    stopping_ = true;
    stop_deadline_ = steady_clock::now() + setup_.file.dispatcher.stop_limit;
    courier_.stop();
    keeper_.put_back_ready();
    transport_.stop();
    upkeep_.stop();
    housekeeping_.stop();
    review_.wake();
    claim_wakeup_.wake();
    progress_.wake();
}

void Dispatcher::stop_sooner()
{
    stop_deadline_ = std::min(stop_deadline_, steady_clock::now() + last_seconds);
    progress_.wake();
}

boost::asio::awaitable<void> Dispatcher::wind_down()
{
    // Senders put back what waited, and end when the server answered what it was asked last. The enrolment goes on
    // meanwhile.
    const auto until = [this](auto&& settled) -> bool { return settled() || steady_clock::now() >= stop_deadline_; };
    while (!until([this] { return senders_ == 0 && !claiming_; }))
        co_await progress_.wait_for(std::chrono::milliseconds(200));
    keeper_.put_back_ready(); // of a claim that came too late
    if (senders_ > 0) {
        log::warning("stop_limit", "the stop limit is over: in doubt without a reply: {}",
                     count_of(senders_, "message"));
        for (const Courier::Round* round : rounds_) {
            if (round->carried != nullptr)
                log::write(LogLevel::warning, "not_ended", describe(round->carried->progress(), steady_clock::now()),
                           {{"uid", round->carried->job().claimed.uid}});
        }
        transport_.abort();
        stop_deadline_ = steady_clock::now() + last_seconds;
        while (!until([this] { return senders_ == 0; }))
            co_await progress_.wait_for(std::chrono::milliseconds(50));
    }
    completer_.stop();
    stop_deadline_ = std::max(stop_deadline_, steady_clock::now() + last_seconds); // outcomes have a time of their own
    while (!until([this] { return completer_.unflushed() == 0; }))
        co_await progress_.wait_for(std::chrono::milliseconds(20));
    if (completer_.unflushed() > 0)
        log::error("outcomes_lost", "{} outcomes could not be written: these messages will be in doubt",
                   completer_.unflushed());
    completer_.give_up();
    journal_->stop();
    co_await keeper_.give_back_grants(enrollment_.id().value_or(0));
    enrollment_.stop();
    co_await transport_.tidy();
    events_.stop();
    if (completer_.unflushed() == 0) {
        static_cast<void>(co_await events_.write());
        co_await enrollment_.resign();
    }
    listener_.reset();
    for (queue::DatabaseLane* lane : {&claim_lane_, &write_lane_, &read_lane_, &beat_lane_, &upkeep_lane_})
        lane->stop();
    while (loops_ > 0)
        co_await progress_.wait_for(std::chrono::milliseconds(20));
    const auto& counts = courier_.counts();
    log::info("stopped", "{} sent, {} failed, {} deferred, {} held, {} in doubt", counts.sent, counts.failed,
              counts.deferred, counts.held, counts.in_doubt);
}

} // namespace mailroom
