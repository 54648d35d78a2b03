// The dispatcher: claims messages, decides who sends each, and hands them to the courier over as many connections as
// each account may have; what has no room waits at its route. Lives on one io_context thread; the database has threads
// of its own (queue/database_lane).
#pragma once

#include "config/service_file.hpp"

#include "queue/database_lane.hpp"
#include "queue/seal.hpp"
#include "queue/store.hpp"
#include "service/completer.hpp"
#include "service/courier.hpp"
#include "service/enrollment.hpp"
#include "service/housekeeping.hpp"
#include "service/job.hpp"
#include "service/low_water.hpp"
#include "service/places.hpp"
#include "service/route_keeper.hpp"
#include "service/routes.hpp"
#include "service/snapshot.hpp"
#include "service/transport.hpp"
#include "service/upkeep.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mailroom {

class Dispatcher {
public:
    struct Setup {
        ServiceFile file;
        std::optional<queue::SealingKey> key;
        std::string host; // for people, in mailroom.dispatcher
    };
    // transport must outlive the dispatcher.
    Dispatcher(boost::asio::io_context& io, Setup setup, Transport& transport);
    ~Dispatcher();
    Dispatcher(const Dispatcher&) = delete;
    Dispatcher& operator=(const Dispatcher&) = delete;

    // Until stop() was called and everything in flight is settled, or the stop limit is over.
    boost::asio::awaitable<void> run();

    void stop();        // nothing new begins; replies to a final dot are awaited
    void stop_sooner(); // a second signal: five seconds are left

    const Courier::Counts& counts() const { return courier_.counts(); }

private:
    // Claiming.
    boost::asio::awaitable<void> claim_loop();
    boost::asio::awaitable<void> claim_batch(queue::DispatcherId id, std::vector<queue::Range> ranges);
    boost::asio::awaitable<void> hand_back_unknown_claims();
    boost::asio::awaitable<bool> reload_settings();
    std::vector<queue::Range> wanted(queue::DispatcherId id);
    std::chrono::steady_clock::duration until_next_turn(std::chrono::steady_clock::duration longest) const;
    bool may_claim() const;

    // Sorting.
    boost::asio::awaitable<void> sort(std::vector<queue::Claimed> claimed);
    boost::asio::awaitable<void> fetch_content(std::vector<Job>& jobs);
    boost::asio::awaitable<void> review_holds(); // once a minute: is the reason still there?

    // Sending and stopping.
    boost::asio::awaitable<std::unique_ptr<Errand>> taken_over(Courier::Round& round);
    void free_the_waiting();
    std::optional<Job> noted(std::optional<Job> job); // begun
    boost::asio::awaitable<void> send_jobs();         // one job after the other; as many of these as connections
    boost::asio::awaitable<void> wind_down();
    bool may_begin(const Job& job) const;
    void start_senders();
    template <class Coroutine>
    void spawn(Coroutine coroutine);
    void heard(const pg::Notification& notification);

    boost::asio::io_context& io_;
    Setup setup_;
    Transport& transport_;
    queue::DatabaseLane claim_lane_;
    queue::DatabaseLane write_lane_;
    queue::DatabaseLane read_lane_;
    queue::DatabaseLane beat_lane_; // nothing but the heartbeat: it must never wait
    queue::DatabaseLane upkeep_lane_;
    Places places_;
    Completer completer_;
    Enrollment enrollment_;
    Courier courier_;
    Upkeep upkeep_;
    Housekeeping housekeeping_;
    std::unique_ptr<queue::Listener> listener_;

    std::shared_ptr<const Snapshot> snapshot_;
    Routes routes_;
    RouteKeeper keeper_;
    LowWater low_water_;
    std::chrono::steady_clock::time_point next_look_for_suspects_;
    std::chrono::steady_clock::time_point look_again_; // after a notification
    Lane suspect_lane_ = Lane::bulk;
    std::size_t claimed_ = 0; // messages, since the start
    std::chrono::steady_clock::time_point claims_paused_until_;
    int senders_ = 0;
    std::set<Courier::Round*> rounds_; // of the senders
    int loops_ = 0;
    Wakeup claim_wakeup_;
    Wakeup progress_;
    Wakeup review_;
    bool claiming_ = false;
    bool claim_is_unknown_ = false; // the last one got no answer
    pg::Timestamp leased_until_;    // by claims that were answered, in the database's time
    bool stopping_ = false;
    std::chrono::steady_clock::time_point stop_deadline_;
    std::string trouble_; // of claiming, told once
};

} // namespace mailroom
