// Writes what became of messages: endings and suspensions, in batches of up to 256 or after 10 ms, until the database
// took them. It never gives one up: while the database is away they wait here, and the dispatcher stops claiming.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/store.hpp"
#include "service/events.hpp"
#include "service/journal/journal.hpp"
#include "service/places.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom {

class Completer {
public:
    static constexpr std::size_t max_unflushed = 2000; // outcomes; beyond it nothing new is claimed

    Completer(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places, Events& events,
              Journal& journal);

    void end(queue::DispatcherId dispatcher, const queue::Ending& ending);
    void put_back(queue::DispatcherId dispatcher, std::int64_t settings_version, const queue::Suspension& suspension);

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
    struct Due {
        queue::DispatcherId dispatcher = 0;
        queue::MessageId id = 0;
        std::int32_t lease_no = 0;
        std::string uid;
        std::int64_t settings_version = 0; // of a suspension
        std::string what;                  // sent, failed, deferred, ...
        std::string json;                  // as the database takes it, and the journal keeps it
    };
    using Write = std::function<pg::DbResult<queue::Written>(pg::Connection&, const Due& first,
                                                             const std::vector<std::string_view>& batch)>;

    boost::asio::awaitable<bool> flush_endings(); // false: the database did not take them
    boost::asio::awaitable<bool> flush_suspensions();
    boost::asio::awaitable<bool> flush(std::deque<Due>& due, std::deque<Due>& busy, const Write& write);
    boost::asio::awaitable<bool> keep_late();
    void settle(const Due& due);
    void came();
    void cannot_write(const pg::DbError& error);
    void write_busy_again();

    queue::DatabaseLane& lane_;
    Places& places_;
    Events& events_;
    Journal& journal_;
    std::deque<Due> endings_;
    std::deque<Due> suspensions_;
    // Somebody has their rows locked: they keep no other waiting.
    std::deque<Due> busy_endings_;
    std::deque<Due> busy_suspensions_;
    std::chrono::steady_clock::time_point busy_until_;
    std::vector<Due> late_; // whose lease was lost
    std::size_t in_flight_ = 0;
    Wakeup wakeup_;
    bool stopping_ = false;
    bool given_up_ = false;
};

} // namespace mailroom
