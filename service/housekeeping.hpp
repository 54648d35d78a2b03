// What some dispatcher must do now and then and nobody waits for: generations turn and are cleared away, old keys are
// forgotten, the queue is vacuumed where autovacuum does not keep up, and what pins its dead rows is told. Has a
// connection of its own, so that it delays nothing; what decides about messages is upkeep's.
#pragma once

#include "config/service_file.hpp"

#include "queue/database_lane.hpp"
#include "queue/upkeep.hpp"
#include "service/enrollment.hpp"
#include "service/events.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <map>
#include <string>

namespace mailroom {

class Housekeeping {
public:
    Housekeeping(const boost::asio::any_io_executor& executor, pg::Source source, const Enrollment& enrollment,
                 Events& events, ServiceFile::Retention retention);

    boost::asio::awaitable<void> run(); // until stop()
    void stop();                        // a step in progress is abandoned: the server undoes it
    void follow(const ServiceFile::Retention& retention) { retention_ = retention; } // from the next step on

private:
    using Clock = std::chrono::steady_clock;

    struct Known {
        Clock::time_point since;
        std::string subject;
        bool is_told = false;
    };

    boost::asio::awaitable<void> turn(queue::Ring ring, std::chrono::milliseconds retention);
    boost::asio::awaitable<void> clear(queue::Ring ring, std::chrono::milliseconds retention);
    boost::asio::awaitable<void> unpin();
    boost::asio::awaitable<void> unpark();
    boost::asio::awaitable<void> forget();
    boost::asio::awaitable<void> vacuum();
    boost::asio::awaitable<void> watch_pins();
    boost::asio::awaitable<void> watch_undecided();
    boost::asio::awaitable<void> watch_server();
    bool may_go_on() const; // only a dispatcher whose enrolment holds clears away

    queue::DatabaseLane lane_;
    const Enrollment& enrollment_;
    Events& events_;
    ServiceFile::Retention retention_;
    Wakeup wakeup_;
    std::map<std::string, Known> pins_;
    bool stopping_ = false;
};

} // namespace mailroom
