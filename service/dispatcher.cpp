#include "service/dispatcher.hpp"

#include "service/log.hpp"
#include "service/outgoing.hpp"
#include "service/rules/resolve_sender.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <random>
#include <unistd.h>
#include <utility>

namespace mailroom {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t low_water = 128; // decided messages below which the next batch is claimed, ours
constexpr std::int64_t small_message =
    65'536; // octets; up to this its content comes with the batch's, attachments included
constexpr auto pause_of_a_troubled_dispatcher = std::chrono::seconds(10);
constexpr auto last_seconds = std::chrono::seconds(5); // after a second signal

rules::Policy policy_of(const ServiceFile& file)
{
    return {file.doubt.policy == DoubtPolicy::hold ? rules::Policy::Doubt::hold : rules::Policy::Doubt::resend_once,
            file.doubt.resend_after, file.retry.max_attempts};
}

pg::Source source_of(const ServiceFile& file)
{
    // The planner takes a table that fills and empties all day for as large as its last statistics say: every statement
    // of a dispatcher reaches its rows by key, and must never walk the whole queue for them.
    return {file.database.connection, "mailroom serve", "-c enable_seqscan=off -c jit=off"};
}

} // namespace

Dispatcher::Dispatcher(boost::asio::io_context& io, Setup setup, Transport& transport)
    : io_(io),
      setup_(std::move(setup)),
      transport_(transport),
      claim_lane_(source_of(setup_.file)),
      write_lane_(source_of(setup_.file)),
      read_lane_(source_of(setup_.file)),
      beat_lane_(source_of(setup_.file)),
      upkeep_lane_(source_of(setup_.file)),
      places_(upkeep_lane_),
      completer_(io.get_executor(), write_lane_, places_),
      enrollment_(
          io.get_executor(), beat_lane_,
          {setup_.host, ::getpid(), MAILROOM_VERSION, setup_.key ? setup_.key->id() : "", setup_.file.dispatcher.lease},
          setup_.file.installation.name,
          [this] {
              claim_wakeup_.wake();
              upkeep_.soon();
          }),
      courier_({read_lane_, upkeep_lane_, transport, completer_, places_, setup_.key ? &*setup_.key : nullptr,
                setup_.file.installation.domain, policy_of(setup_.file),
                [this] { claims_paused_until_ = steady_clock::now() + pause_of_a_troubled_dispatcher; },
                [this](const Job& job) { return may_begin(job); }}),
      upkeep_(io.get_executor(), upkeep_lane_, places_, enrollment_, policy_of(setup_.file),
              setup_.file.dispatcher.lease / 4, [this] { claim_wakeup_.wake(); }),
      claim_wakeup_(io.get_executor()),
      progress_(io.get_executor())
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
    spawn(enrollment_.run());
    spawn(completer_.run());
    spawn(upkeep_.run());
    spawn(claim_loop());
    listener_ = std::make_unique<queue::Listener>(
        source_of(setup_.file), std::vector<std::string>{"mailroom_wake", "mailroom_settings"},
        [this](const pg::Notification& notification) {
            boost::asio::post(io_, [this, notification] { heard(notification); });
        });
    while (!stopping_) {
        const auto interval = std::clamp<milliseconds>(setup_.file.smtp.idle, milliseconds(100), milliseconds(5'000));
        co_await progress_.wait_for(interval);
        co_await transport_.tidy();
    }
    co_await wind_down();
}

void Dispatcher::heard(const pg::Notification& notification)
{
    // Anybody may notify: it is a hint to look, never a fact. The listener's own comes after a new connection.
    if (notification.channel != "mailroom_wake") {
        enrollment_.look();
        upkeep_.soon();
    }
    claim_wakeup_.wake();
}

// ---- claiming

bool Dispatcher::may_claim() const
{
    return enrollment_.id() && !claim_is_unknown_ && steady_clock::now() >= claims_paused_until_ &&
           completer_.unflushed() < Completer::max_unflushed && ready_.size() < low_water;
}

boost::asio::awaitable<void> Dispatcher::claim_loop()
{
    std::minstd_rand random{std::random_device{}()};
    int full_claims = 0;
    while (!stopping_) {
        if (claim_is_unknown_)
            co_await hand_back_unknown_claims();
        if (!may_claim()) {
            // A sender that takes the last but low_water job wakes this; so do the enrolment and the completer's
            // progress, by the poll.
            co_await claim_wakeup_.wait_for(
                std::min<steady_clock::duration>(setup_.file.dispatcher.poll, std::chrono::milliseconds(100)));
            continue;
        }
        const int room = queue::max_batch;
        const std::size_t before = claimed_;
        claiming_ = true;
        co_await claim_batch(*enrollment_.id(), room);
        claiming_ = false;
        // Saturated, nobody needs to wake us; the flag changes after some full claims, not with each message.
        const bool full = claimed_ - before >= static_cast<std::size_t>(room) / 2;
        full_claims = full ? full_claims + 1 : 0;
        enrollment_.want_wake(full_claims < 4);
        if (claimed_ != before)
            continue;
        const auto poll = setup_.file.dispatcher.poll;
        co_await claim_wakeup_.wait_for(poll + poll * static_cast<int>(random() % 100) / 1000);
    }
}

// A claim without an answer may have worked: then messages are leased to us that we do not know. Once nothing of ours
// is under way, whatever is leased to us is one of them.
boost::asio::awaitable<void> Dispatcher::hand_back_unknown_claims()
{
    const auto id = enrollment_.id();
    if (!id || senders_ > 0 || ready_.size() > 0 || completer_.unflushed() > 0)
        co_return;
    const auto job = [dispatcher = *id](pg::Connection& connection) {
        return queue::hand_back(connection, dispatcher);
    };
    auto handed_back = co_await claim_lane_.run<std::int64_t>(job);
    if (!handed_back)
        co_return;
    claim_is_unknown_ = false;
    if (*handed_back > 0)
        log::warning("a claim without an answer had worked: {} messages go back to be claimed again", *handed_back);
}

boost::asio::awaitable<void> Dispatcher::claim_batch(queue::DispatcherId id, int room)
{
    const queue::LaneShares shares = ready_.shares(room);
    const auto job = [id, shares](pg::Connection& connection) { return queue::claim(connection, id, shares); };
    auto claim = co_await claim_lane_.run<queue::Claim>(job);
    if (!claim) {
        claim_is_unknown_ = claim.error().connection_is_gone();
        if (std::exchange(trouble_, claim.error().text) != claim.error().text && !stopping_)
            log::error("cannot claim messages: {}", pg::explain(claim.error()));
        co_return;
    }
    trouble_.clear();
    ready_.claimed(shares, claim->messages);
    claimed_ += claim->messages.size();
    if (claim->messages.empty())
        co_return;
    // Nothing is decided by older settings than the claim saw.
    const auto newest = std::max(claim->settings_version, enrollment_.settings_version());
    bool current = snapshot_ && snapshot_->settings.version >= newest;
    if (!current)
        current = co_await reload_settings();
    if (current && !stopping_) {
        co_await sort(std::move(claim->messages));
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
        log::error("cannot read the mail settings: {}", pg::explain(stored.error()));
        co_return false;
    }
    snapshot_ = make_snapshot(*std::move(stored), setup_.key ? &*setup_.key : nullptr);
    enrollment_.settings_loaded(snapshot_->settings.version);
    transport_.settings_changed(*snapshot_);
    co_return true;
}

namespace {

// Who sends a message, and as whom. A pin that cannot be read is no reason to send as somebody else.
rules::Decision decision_on(const queue::Claimed& message, const Snapshot& snapshot)
{
    rules::Decision decision = rules::resolve_sender(facts_of(message), snapshot.settings, snapshot.knowledge);
    if (message.pinned.empty() || decision.identity() == nullptr)
        return decision;
    const auto pinned = pinned_from(message.pinned);
    auto changed = pinned ? rules::identity_changed(*pinned, *decision.identity())
                          : std::optional(rules::Hold{rules::HoldReason::identity_changed,
                                                      {{rules::Subject::Kind::message, 0, {}, "unreadable"}}});
    if (changed)
        decision.answer = *std::move(changed);
    return decision;
}

} // namespace

// What nobody can send is held; the rest waits for a connection.
boost::asio::awaitable<void> Dispatcher::sort(std::vector<queue::Claimed> claimed)
{
    const std::shared_ptr<const Snapshot> snapshot = snapshot_;
    std::vector<Job> jobs;
    jobs.reserve(claimed.size());
    for (auto& message : claimed) {
        if (message.expired) { // the sweep ends it
            courier_.put_back(message, std::chrono::milliseconds(0), {});
            continue;
        }
        rules::Decision decision = decision_on(message, *snapshot);
        if (const rules::Hold* hold = decision.hold(); hold != nullptr) {
            co_await courier_.hold(message, decision.table_row, *hold, snapshot->settings.version);
            continue;
        }
        jobs.push_back({std::move(message), std::move(decision.table_row),
                        std::get<rules::Identity>(std::move(decision.answer)), snapshot, std::nullopt});
    }
    co_await fetch_content(jobs);
    for (Job& job : jobs)
        ready_.push(std::move(job));
    start_senders();
}

boost::asio::awaitable<void> Dispatcher::fetch_content(std::vector<Job>& jobs)
{
    std::vector<queue::MessageId> ids;
    auto results = queue::Results::none;
    for (const Job& job : jobs) {
        if (job.claimed.size > small_message)
            continue;
        ids.push_back(job.claimed.id);
        if (job.claimed.has_results)
            results = queue::Results::wanted;
    }
    if (ids.empty())
        co_return;
    const auto read = [&ids, results](pg::Connection& connection) {
        return queue::read_content(connection, ids, results, small_message);
    };
    auto contents = co_await read_lane_.run<std::map<queue::MessageId, queue::MessageContent>>(read);
    if (!contents)
        co_return; // each is read when it is sent; if that fails as well, it is put back
    for (Job& job : jobs) {
        if (const auto found = contents->find(job.claimed.id); found != contents->end())
            job.content = std::move(found->second);
    }
}

// ---- sending

void Dispatcher::start_senders()
{
    // Also while stopping: a claim may have come too late, and its messages are to be put back.
    while (ready_.size() > 0 && senders_ < setup_.file.dispatcher.connections) {
        ++senders_;
        spawn(send_jobs());
    }
}

// A message is begun only under a lease that holds, and never by settings that are known to be old: then it is sorted
// again.
bool Dispatcher::may_begin(const Job& job) const
{
    return enrollment_.id() == job.claimed.dispatcher &&
           job.snapshot->settings.version >= enrollment_.settings_version();
}

boost::asio::awaitable<void> Dispatcher::send_jobs()
{
    while (auto job = ready_.pop()) {
        if (ready_.size() == low_water)
            claim_wakeup_.wake();
        co_await courier_.carry(*std::move(job));
    }
    --senders_;
    claim_wakeup_.wake();
}

// ---- stopping

void Dispatcher::stop()
{
    if (stopping_)
        return;
    log::info("stopping: nothing new begins, replies that are due are awaited for up to {} s",
              setup_.file.dispatcher.stop_limit.count() / 1000);
    stopping_ = true;
    stop_deadline_ = steady_clock::now() + setup_.file.dispatcher.stop_limit;
    courier_.stop();
    transport_.stop();
    upkeep_.stop();
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
    if (senders_ > 0) {
        log::warning("the stop limit is over: {} messages without a reply are in doubt", senders_);
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
        log::error("{} outcomes could not be written: these messages will be in doubt", completer_.unflushed());
    completer_.give_up();
    enrollment_.stop();
    co_await transport_.tidy();
    if (completer_.unflushed() == 0)
        co_await enrollment_.resign();
    listener_.reset();
    for (queue::DatabaseLane* lane : {&claim_lane_, &write_lane_, &read_lane_, &beat_lane_, &upkeep_lane_})
        lane->stop();
    while (loops_ > 0)
        co_await progress_.wait_for(std::chrono::milliseconds(20));
    const auto& counts = courier_.counts();
    log::info("stopped: {} sent, {} failed, {} deferred, {} held, {} in doubt", counts.sent, counts.failed,
              counts.deferred, counts.held, counts.in_doubt);
}

} // namespace mailroom
