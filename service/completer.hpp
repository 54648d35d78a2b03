// Writes what became of messages: endings and suspensions, in batches of up to 256 or after 10 ms, until the database
// took them. It never gives one up: while the database is away they wait here, and the dispatcher stops claiming.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/store.hpp"
#include "service/events.hpp"
#include "service/places.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <vector>

namespace mailroom {

class Completer {
public:
    static constexpr std::size_t max_unflushed = 2000; // outcomes; beyond it nothing new is claimed

    Completer(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places, Events& events);

    void end(queue::DispatcherId dispatcher, queue::Ending ending);
    void put_back(queue::DispatcherId dispatcher, std::int64_t settings_version, queue::Suspension suspension);

    std::size_t unflushed() const
    {
        return endings_.size() + suspensions_.size() + busy_endings_.size() + busy_suspensions_.size() + late_.size() +
               in_flight_;
    }

    boost::asio::awaitable<void> run(); // until stop(), and then until all is written
    void stop();                        // what comes from now on is still written
    void give_up();                     // the stop limit is over
    std::chrono::steady_clock::time_point away_since() const { return wakeup_.away_since(); } // as Wakeup's

private:
    struct DueEnding {
        queue::DispatcherId dispatcher = 0;
        queue::Ending ending;
    };
    struct DueSuspension {
        queue::DispatcherId dispatcher = 0;
        std::int64_t settings_version = 0;
        queue::Suspension suspension;
    };

    boost::asio::awaitable<bool> flush_endings(); // false: the database did not take them
    boost::asio::awaitable<bool> flush_suspensions();
    boost::asio::awaitable<bool> keep_late();
    void came();
    void cannot_write(const pg::DbError& error);
    void write_busy_again();

    queue::DatabaseLane& lane_;
    Places& places_;
    Events& events_;
    std::deque<DueEnding> endings_;
    std::deque<DueSuspension> suspensions_;
    // Somebody has their rows locked: they keep no other waiting.
    std::deque<DueEnding> busy_endings_;
    std::deque<DueSuspension> busy_suspensions_;
    std::chrono::steady_clock::time_point busy_until_;
    std::vector<queue::Ending> late_; // outcomes whose lease was lost
    std::size_t in_flight_ = 0;
    Wakeup wakeup_;
    bool stopping_ = false;
    bool given_up_ = false;
};

} // namespace mailroom
