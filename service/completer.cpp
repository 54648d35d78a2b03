#include "service/completer.hpp"

#include "service/log.hpp"
#include "service/outgoing.hpp"

#include <algorithm>
#include <utility>

namespace mailroom {
namespace {

constexpr auto linger = std::chrono::milliseconds(10);
constexpr auto first_pause = std::chrono::milliseconds(100); // while the database does not answer
constexpr std::chrono::steady_clock::duration pause_of_busy = std::chrono::milliseconds(500);
constexpr auto longest_pause = std::chrono::seconds(5);

// Takes from the front what belongs to the same dispatcher as the first (and passes `same`), at most a batch.
template <class Due, class Same>
std::vector<Due> take_batch(std::deque<Due>& due, Same same)
{
    std::vector<Due> batch;
    while (!due.empty() && batch.size() < queue::max_batch && (batch.empty() || same(batch.front(), due.front()))) {
        batch.push_back(std::move(due.front()));
        due.pop_front();
    }
    return batch;
}

template <class Due>
void put_back_in_front(std::deque<Due>& due, std::vector<Due> batch)
{
    due.insert(due.begin(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
}

// The late outcome of a message that was put back: only its attempt counts.
queue::Ending as_ending(queue::Suspension suspension)
{
    return {suspension.id, suspension.lease_no, suspension.event, 0, std::move(suspension.attempt), {}};
}

} // namespace

Completer::Completer(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places,
                     Events& events)
    : lane_(lane), places_(places), events_(events), wakeup_(executor)
{}

void Completer::end(queue::DispatcherId dispatcher, queue::Ending ending)
{
    endings_.push_back({dispatcher, std::move(ending)});
    came();
}

void Completer::put_back(queue::DispatcherId dispatcher, std::int64_t settings_version, queue::Suspension suspension)
{
    suspensions_.push_back({dispatcher, settings_version, std::move(suspension)});
    came();
}

// The first one starts the clock of 10 ms; a full batch ends it.
void Completer::came()
{
    const std::size_t waiting = endings_.size() + suspensions_.size();
    if (waiting == 1 || waiting == queue::max_batch)
        wakeup_.wake();
}

void Completer::stop()
{
    stopping_ = true;
    wakeup_.wake();
}

void Completer::give_up()
{
    given_up_ = true;
    stop();
}

boost::asio::awaitable<void> Completer::run()
{
    std::chrono::milliseconds pause = first_pause;
    while (!given_up_ && !(stopping_ && unflushed() == 0)) {
        wakeup_.came_by();
        write_busy_again();
        if (endings_.empty() && suspensions_.empty() && late_.empty()) {
            const bool busy = !busy_endings_.empty() || !busy_suspensions_.empty();
            co_await wakeup_.wait_for(busy ? pause_of_busy : std::chrono::hours(1));
            continue;
        }
        if (!stopping_ && endings_.size() + suspensions_.size() < queue::max_batch)
            co_await wakeup_.wait_for(linger);
        const bool ended = co_await flush_endings();
        const bool suspended = co_await flush_suspensions();
        const bool kept = co_await keep_late();
        if (ended && suspended && kept) {
            pause = first_pause;
            events_.end(rules::EventKind::outcomes_wait);
            continue;
        }
        co_await wakeup_.wait_for(pause);
        pause = std::min<std::chrono::milliseconds>(pause * 2, longest_pause);
    }
}

void Completer::cannot_write(const pg::DbError& error)
{
    events_.raise(
        {rules::EventKind::outcomes_wait,
         {},
         "what became of messages cannot be written to the database, it is kept and tried again: " + pg::explain(error),
         {}});
}

void Completer::write_busy_again()
{
    const auto now = std::chrono::steady_clock::now();
    if (now < busy_until_)
        return;
    busy_until_ = now + pause_of_busy;
    endings_.insert(endings_.end(), std::make_move_iterator(busy_endings_.begin()),
                    std::make_move_iterator(busy_endings_.end()));
    suspensions_.insert(suspensions_.end(), std::make_move_iterator(busy_suspensions_.begin()),
                        std::make_move_iterator(busy_suspensions_.end()));
    busy_endings_.clear();
    busy_suspensions_.clear();
}

boost::asio::awaitable<bool> Completer::flush_endings()
{
    auto batch =
        take_batch(endings_, [](const DueEnding& a, const DueEnding& b) { return a.dispatcher == b.dispatcher; });
    if (batch.empty())
        co_return true;
    in_flight_ = batch.size();
    std::vector<queue::Ending> endings;
    endings.reserve(batch.size());
    for (const auto& due : batch)
        endings.push_back(due.ending);
    const auto write = [dispatcher = batch.front().dispatcher, &endings](pg::Connection& connection) {
        return queue::complete(connection, dispatcher, endings);
    };
    auto written = co_await lane_.run<queue::Written>(write);
    in_flight_ = 0;
    if (!written) {
        cannot_write(written.error());
        put_back_in_front(endings_, std::move(batch));
        co_return false;
    }
    for (auto& due : batch) {
        if (written->busy.contains(due.ending.id))
            busy_endings_.push_back(std::move(due));
        else if (!written->done.contains(due.ending.id))
            late_.push_back(std::move(due.ending));
    }
    co_return true;
}

boost::asio::awaitable<bool> Completer::flush_suspensions()
{
    auto batch = take_batch(suspensions_, [](const DueSuspension& a, const DueSuspension& b) {
        return a.dispatcher == b.dispatcher && a.settings_version == b.settings_version;
    });
    if (batch.empty())
        co_return true;
    in_flight_ = batch.size();
    std::vector<queue::Suspension> suspensions;
    suspensions.reserve(batch.size());
    for (const auto& due : batch)
        suspensions.push_back(due.suspension);
    const auto write = [dispatcher = batch.front().dispatcher, version = batch.front().settings_version,
                        &suspensions](pg::Connection& connection) {
        return queue::suspend(connection, dispatcher, version, suspensions);
    };
    auto written = co_await lane_.run<queue::Written>(write);
    in_flight_ = 0;
    if (!written) {
        cannot_write(written.error());
        put_back_in_front(suspensions_, std::move(batch));
        co_return false;
    }
    for (auto& due : batch) {
        const std::string& event = due.suspension.event;
        if (written->busy.contains(due.suspension.id))
            busy_suspensions_.push_back(std::move(due));
        else if (!written->done.contains(due.suspension.id) && event != "returned" && event != "parked")
            late_.push_back(as_ending(std::move(due.suspension)));
    }
    co_return true;
}

// Their leases were lost meanwhile, or an earlier write without an answer had worked after all: the statement tells
// which.
boost::asio::awaitable<bool> Completer::keep_late()
{
    if (late_.empty())
        co_return true;
    auto place = co_await places_.of(doubt_hold());
    if (!place)
        co_return false;
    const std::vector<queue::Ending> late = std::exchange(late_, {});
    in_flight_ = late.size();
    const auto write = [&late, place = *place](pg::Connection& connection) {
        return queue::keep_late(connection, late, place);
    };
    auto written = co_await lane_.run<void>(write);
    in_flight_ = 0;
    if (!written) {
        late_.insert(late_.begin(), late.begin(), late.end());
        co_return false;
    }
    for (const auto& ending : late)
        log::warning("late_outcome", "message {} (lease {}): its outcome \"{}\" came after its lease was lost",
                     ending.id, ending.lease_no, ending.outcome);
    co_return true;
}

} // namespace mailroom
