// The dispatcher: claims messages, decides who sends each, and hands them to the courier over as many connections as it
// may. Lives on one io_context thread; the database has threads of its own (queue/database_lane).
#pragma once

#include "config/service_file.hpp"

#include "queue/database_lane.hpp"
#include "queue/seal.hpp"
#include "queue/store.hpp"
#include "service/completer.hpp"
#include "service/courier.hpp"
#include "service/enrollment.hpp"
#include "service/job.hpp"
#include "service/places.hpp"
#include "service/ready_jobs.hpp"
#include "service/snapshot.hpp"
#include "service/transport.hpp"
#include "service/upkeep.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <optional>
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
    boost::asio::awaitable<void> claim_loop();
    boost::asio::awaitable<void> claim_batch(queue::DispatcherId id, int room);
    boost::asio::awaitable<void> sort(std::vector<queue::Claimed> claimed);
    boost::asio::awaitable<void> fetch_content(std::vector<Job>& jobs);
    boost::asio::awaitable<void> hand_back_unknown_claims();
    boost::asio::awaitable<bool> reload_settings();
    boost::asio::awaitable<void> send_jobs(); // one job after the other; as many of these as connections
    boost::asio::awaitable<void> wind_down();
    bool may_claim() const;
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
    std::unique_ptr<queue::Listener> listener_;

    std::shared_ptr<const Snapshot> snapshot_;
    ReadyJobs ready_;
    std::size_t claimed_ = 0; // messages, since the start
    std::chrono::steady_clock::time_point claims_paused_until_;
    int senders_ = 0;
    int loops_ = 0;
    Wakeup claim_wakeup_;
    Wakeup progress_;
    bool claiming_ = false;
    bool claim_is_unknown_ = false; // the last one got no answer
    bool stopping_ = false;
    std::chrono::steady_clock::time_point stop_deadline_;
    std::string trouble_; // of claiming, told once
};

} // namespace mailroom
