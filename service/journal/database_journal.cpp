#include "service/journal/database_journal.hpp"

#include <utility>
#include <vector>

namespace mailroom {
namespace {

constexpr auto pause_of_busy = std::chrono::milliseconds(100); // somebody has the row locked: an ERP that cancels it

} // namespace

DatabaseJournal::DatabaseJournal(const boost::asio::any_io_executor& executor, pg::Source source)
    : executor_(executor), lane_(std::move(source)), wakeup_(executor)
{}

boost::asio::awaitable<Result<void>> DatabaseJournal::begun(const queue::Claimed& message,
                                                            std::optional<std::chrono::milliseconds> resend_after)
{
    const queue::Mark mark{message.id, message.lease_no, true, resend_after};
    const auto request = std::make_shared<Request>(executor_, message.dispatcher, mark);
    requests_.push_back(request);
    wakeup_.wake();
    co_await request->done.wait_for(limit);
    request->is_given_up = true;
    if (!request->result)
        co_return Error{"the database has not taken for 30 s that the message is about to be sent"};
    co_return *request->result;
}

boost::asio::awaitable<void> DatabaseJournal::run()
{
    while (!stopping_) {
        Batch batch = take_batch();
        if (batch.empty()) {
            co_await wakeup_.wait_for(std::chrono::hours(1));
            continue;
        }
        const bool all = co_await write(std::move(batch));
        if (!all)
            co_await wakeup_.wait_for(pause_of_busy);
    }
    for (const auto& request : requests_)
        request->done.wake();
}

// Of one dispatcher: a process may have been taken for dead, and be another by now.
DatabaseJournal::Batch DatabaseJournal::take_batch()
{
    Batch batch;
    while (!requests_.empty() && batch.size() < queue::max_batch &&
           (batch.empty() || batch.front()->dispatcher == requests_.front()->dispatcher)) {
        if (!requests_.front()->is_given_up)
            batch.push_back(std::move(requests_.front()));
        requests_.pop_front();
    }
    return batch;
}

boost::asio::awaitable<bool> DatabaseJournal::write(Batch batch)
{
    std::vector<queue::Mark> marks;
    marks.reserve(batch.size());
    for (const auto& request : batch)
        marks.push_back(request->mark);
    const auto job = [dispatcher = batch.front()->dispatcher, &marks](pg::Connection& connection) {
        return queue::mark(connection, dispatcher, marks);
    };
    auto written = co_await lane_.run<queue::Written>(job);
    bool all = true;
    for (auto& request : batch) {
        if (written && written->busy.contains(request->mark.id)) {
            all = false;
            requests_.push_back(std::move(request));
            continue;
        }
        if (!written)
            request->result = Error{"the database does not take that the message is about to be sent: " +
                                    pg::explain(written.error())};
        else if (!written->done.contains(request->mark.id))
            request->result = Error{"its lease was lost"};
        else
            request->result = Result<void>();
        request->done.wake();
    }
    co_return all;
}

void DatabaseJournal::stop()
{
    stopping_ = true;
    lane_.stop();
    wakeup_.wake();
}

} // namespace mailroom
