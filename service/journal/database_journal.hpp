// The journal in the database itself, for machines without a disk that lasts: a message is marked before the octets
// that may commit it go, many messages with one statement. Costs each message the time of a transaction; whoever takes
// the messages of a dead dispatcher finds the marks, on whatever machine.
#pragma once

#include "queue/database_lane.hpp"
#include "service/journal/journal.hpp"
#include "service/wakeup.hpp"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>

namespace mailroom {

class DatabaseJournal final : public Journal {
public:
    // For longer no message waits for its mark: ours.
    static constexpr auto limit = std::chrono::seconds(30);

    DatabaseJournal(const boost::asio::any_io_executor& executor, pg::Source source);

    std::string_view marks() const override { return "begun"; }
    boost::asio::awaitable<Result<void>> begun(const queue::Claimed& message,
                                               std::optional<std::chrono::milliseconds> resend_after) override;
    boost::asio::awaitable<void> run() override;
    void stop() override;

private:
    struct Request {
        Request(const boost::asio::any_io_executor& executor, queue::DispatcherId of, queue::Mark what)
            : dispatcher(of), mark(what), done(executor)
        {}
        queue::DispatcherId dispatcher;
        queue::Mark mark;
        Wakeup done;
        std::optional<Result<void>> result;
        bool is_given_up = false; // nobody waits any more
    };
    using Batch = std::vector<std::shared_ptr<Request>>;

    Batch take_batch();
    boost::asio::awaitable<bool> write(Batch batch); // false: some are busy

    boost::asio::any_io_executor executor_;
    queue::DatabaseLane lane_;
    std::deque<std::shared_ptr<Request>> requests_;
    Wakeup wakeup_;
    bool stopping_ = false;
};

} // namespace mailroom
