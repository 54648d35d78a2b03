// Tells operators what they must know and do: once each, by a line in the log and a row of mailroom.events, when it
// begins and when it ends. Never blocks its callers; while the database is away it keeps the latest of each kind and
// subject. For one io_context thread.
#pragma once

#include "queue/database_lane.hpp"
#include "service/event_book.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailroom {

class Events {
public:
    // host: of this dispatcher, for people.
    Events(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, std::string host)
        : lane_(lane), host_(std::move(host)), wakeup_(executor)
    {}

    void raise(Event event); // again, while it goes on: nothing
    void end(rules::EventKind kind, const std::string& subject = {});
    // These and no others of a kind that follows from the database. To be called every now and then.
    void only(rules::EventKind kind, std::vector<Event> events);

    // Whether a step of upkeep failed: raised, or ended where it works again.
    template <class T>
    bool upkeep_failed(const std::string& step, const pg::DbResult<T>& result)
    {
        if (result)
            end(rules::EventKind::upkeep_failed, step);
        else
            raise_upkeep(step, result.error());
        return result.has_error();
    }

    void enrolled(queue::DispatcherId id); // rows can be written from now on, in its name

    boost::asio::awaitable<void> run();   // until stop()
    boost::asio::awaitable<bool> write(); // what is to be written now; false: it waits
    void stop();

private:
    void raise_upkeep(const std::string& step, const pg::DbError& error);
    std::string name() const;
    static void say(const queue::ToldEvents& told);
    void say_why_not(const pg::DbError& error);

    queue::DatabaseLane& lane_;
    std::string host_;
    EventBook book_;
    std::optional<queue::DispatcherId> id_;
    Wakeup wakeup_;
    bool is_writing_ = false;
    bool refusal_is_told_ = false;
    bool stopping_ = false;
};

} // namespace mailroom
