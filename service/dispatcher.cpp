#include "service/dispatcher.hpp"

#include "config/text.hpp"

#include "service/journal/database_journal.hpp"
#include "service/journal/file_journal.hpp"
#include "service/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unistd.h>
#include <utility>

namespace mailroom {
namespace {

using rules::EventKind;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Of several producers that commit within 5 ms one notifies for all (mailroom.enqueue), and the others may be later.
constexpr auto look_again_after = milliseconds(15);
constexpr auto pause_of_a_troubled_dispatcher = std::chrono::seconds(10);
constexpr auto last_seconds = std::chrono::seconds(5); // after a second signal

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
                      decisions_.record_anew();
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
              rules::DoubtRules(setup_.file.doubt), setup_.file.dispatcher.lease / 4,
              [this] {
                  low_water_.look_at_all(); // what was released keeps its old place in line
                  claim_wakeup_.wake();
              }),
      housekeeping_(io.get_executor(), source_of(setup_.file), enrollment_, events_, setup_.file.retention),
      routes_(connections_per_account(setup_.file.dispatcher)),
      keeper_(routes_, places_, courier_, claim_lane_, upkeep_lane_, events_),
      claim_wakeup_(io.get_executor()),
      progress_(io.get_executor()),
      review_(io.get_executor()),
      recording_(io.get_executor())
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
    spawn(record_decisions());
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

void Dispatcher::start_senders()
{
    // Also while stopping: a claim may have come too late, and its messages are to be put back.
    const int free = setup_.file.dispatcher.connections - senders_;
    for (int more = std::min(routes_.may_begin(steady_clock::now()), free); more > 0; --more) {
        ++senders_;
        spawn(send_jobs());
    }
}

// ---- how it is doing

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
    recording_.wake();
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
