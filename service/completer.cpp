#include "service/completer.hpp"

#include "config/crash_point.hpp"

#include "service/log.hpp"
#include "service/outgoing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mailroom {
namespace {

constexpr auto linger = std::chrono::milliseconds(10);
constexpr auto first_pause = std::chrono::milliseconds(100); // while the database does not answer
constexpr std::chrono::steady_clock::duration pause_of_busy = std::chrono::milliseconds(500);
constexpr auto longest_pause = std::chrono::seconds(5);

template <class Due>
bool go_together(const Due& a, const Due& b)
{
    return a.dispatcher == b.dispatcher && a.settings_version == b.settings_version;
}

// Takes from the front what may go in one statement with the first, at most a batch.
template <class Due>
std::vector<Due> take_batch(std::deque<Due>& due)
{
    std::vector<Due> batch;
    while (!due.empty() && batch.size() < queue::max_batch &&
           (batch.empty() || go_together(batch.front(), due.front()))) {
        batch.push_back(std::move(due.front()));
        due.pop_front();
    }
    return batch;
}

template <class Due>
std::vector<std::string_view> texts_of(const std::vector<Due>& batch)
{
    std::vector<std::string_view> texts;
    texts.reserve(batch.size());
    for (const auto& due : batch)
        texts.emplace_back(due.json);
    return texts;
}

// What is not worth a word if it comes too late: nothing had gone out.
bool says_nothing(std::string_view what)
{
    return what == "returned" || what == "parked";
}

} // namespace

Completer::Completer(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places,
                     Events& events, Journal& journal)
    : lane_(lane), places_(places), events_(events), journal_(journal), wakeup_(executor)
{}

void Completer::end(queue::DispatcherId dispatcher, const queue::Ending& ending)
{
    endings_.push_back({dispatcher, ending.id, ending.lease_no, ending.uid, 0, ending.outcome, queue::to_json(ending)});
    journal_.ended(dispatcher, ending.id, ending.lease_no, endings_.back().json);
    crash_point("outcome.known");
    came();
}

void Completer::put_back(queue::DispatcherId dispatcher, std::int64_t settings_version,
                         const queue::Suspension& suspension)
{
    suspensions_.push_back({dispatcher, suspension.id, suspension.lease_no, suspension.uid, settings_version,
                            suspension.event, queue::to_json(suspension)});
    journal_.put_back(dispatcher, suspension.id, suspension.lease_no, settings_version, suspensions_.back().json);
    came();
}

void Completer::settle(const Due& due)
{
    journal_.settled(due.dispatcher, due.id, due.lease_no);
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
    const Write write = [](pg::Connection& connection, const Due& first, const std::vector<std::string_view>& batch) {
        return queue::complete(connection, first.dispatcher, batch);
    };
    const bool written = co_await flush(endings_, busy_endings_, write);
    co_return written;
}

boost::asio::awaitable<bool> Completer::flush_suspensions()
{
    const Write write = [](pg::Connection& connection, const Due& first, const std::vector<std::string_view>& batch) {
        return queue::suspend(connection, first.dispatcher, first.settings_version, batch);
    };
    const bool written = co_await flush(suspensions_, busy_suspensions_, write);
    co_return written;
}

boost::asio::awaitable<bool> Completer::flush(std::deque<Due>& due, std::deque<Due>& busy, const Write& write)
{
    std::vector<Due> batch = take_batch(due);
    if (batch.empty())
        co_return true;
    in_flight_ = batch.size();
    const auto texts = texts_of(batch);
    const auto job = [&batch, &texts, &write](pg::Connection& connection) {
        return write(connection, batch.front(), texts);
    };
    crash_point("outcome.writing");
    auto written = co_await lane_.run<queue::Written>(job);
    crash_point("outcome.written");
    in_flight_ = 0;
    if (!written) {
        cannot_write(written.error());
        due.insert(due.begin(), std::make_move_iterator(batch.begin()), std::make_move_iterator(batch.end()));
        co_return false;
    }
    for (auto& one : batch) {
        if (written->busy.contains(one.id)) {
            busy.push_back(std::move(one));
        } else if (written->done.contains(one.id) || says_nothing(one.what)) {
            settle(one);
        } else {
            late_.push_back(std::move(one));
        }
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
    const std::vector<Due> late = std::exchange(late_, {});
    in_flight_ = late.size();
    const auto texts = texts_of(late);
    const auto write = [&texts, place = *place](pg::Connection& connection) {
        return queue::keep_late(connection, texts, place);
    };
    auto written = co_await lane_.run<void>(write);
    in_flight_ = 0;
    if (!written) {
        late_.insert(late_.begin(), late.begin(), late.end());
        co_return false;
    }
    for (const Due& due : late) {
        log::write(LogLevel::warning, "late_outcome",
                   fmt::format("its outcome \"{}\" came after its lease was lost", due.what), {{"uid", due.uid}});
        settle(due);
    }
    co_return true;
}

} // namespace mailroom
