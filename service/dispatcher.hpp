// The dispatcher: claims messages, decides who sends each, and hands them to the courier over as many connections as
// each account may have; what has no room waits at its route. Lives on one io_context thread; the database has threads
// of its own (queue/database_lane).
#pragma once

#include "config/service_file.hpp"

#include "queue/database_lane.hpp"
#include "queue/keyring.hpp"
#include "queue/store.hpp"
#include "service/completer.hpp"
#include "service/courier.hpp"
#include "service/decisions.hpp"
#include "service/enrollment.hpp"
#include "service/events.hpp"
#include "service/housekeeping.hpp"
#include "service/job.hpp"
#include "service/journal/inheritance.hpp"
#include "service/journal/journal.hpp"
#include "service/low_water.hpp"
#include "service/places.hpp"
#include "service/route_keeper.hpp"
#include "service/routes.hpp"
#include "service/safe_transport.hpp"
#include "service/snapshot.hpp"
#include "service/transport.hpp"
#include "service/upkeep.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom {

class Dispatcher {
public:
    struct Setup {
        ServiceFile file;
        std::optional<queue::Keyring> keys;
        std::string host;           // for people, in mailroom.dispatcher
        std::string journal_folder; // where [journal] store is a file
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

    // Other settings, of those that a running service takes over (config/reload). What is under way is not disturbed.
    void reload(ServiceFile file);

    struct State {
        Enrollment::Standing standing = Enrollment::Standing::starting;
        std::string trouble;     // why it does not serve
        int waiting = 0;         // messages that are ready here
        int sending = 0;         // connections at work
        std::uint64_t ended = 0; // outcomes since the start
        int paused = 0;          // logins that their servers refused
        int blocked = 0;         // accounts that wait for their server
        bool stopping = false;
    };
    State state() const;

    // Where each of them is a minute past its limits and more: since when the last one is. None: some may get on.
    static std::optional<std::chrono::steady_clock::time_point>
    all_stuck_since(const std::vector<const Progress*>& deliveries, std::chrono::steady_clock::time_point now);

    // What has made no progress for longer than this, and since when; none: all goes on, or waits for the database.
    struct Stall {
        std::string_view what;
        std::chrono::steady_clock::time_point since;
    };
    std::optional<Stall> stalled(std::chrono::steady_clock::duration limit) const;

private:
    void tell_safety();

    // Claiming.
    boost::asio::awaitable<void> claim_loop();
    boost::asio::awaitable<void> claim_batch(queue::DispatcherId id, std::vector<queue::Range> ranges);
    boost::asio::awaitable<void> hand_back_unknown_claims();
    std::int64_t& handed_back_by(queue::DispatcherId id); // how often: what was asked for before is void
    boost::asio::awaitable<bool> reload_settings();
    const queue::Keyring* keyring() const { return setup_.keys ? &*setup_.keys : nullptr; }
    void tell_of_failure(rules::EventKind kind, const std::string& what, const pg::DbError& error);
    std::vector<queue::Range> wanted(queue::DispatcherId id);
    std::chrono::steady_clock::duration until_next_turn(std::chrono::steady_clock::duration longest) const;
    bool may_claim() const;

    // Sorting.
    // since: when they were asked for.
    boost::asio::awaitable<void> sort(std::vector<queue::Claimed> claimed, std::chrono::steady_clock::time_point since);
    boost::asio::awaitable<void> record_decisions(); // until the dispatcher stops
    boost::asio::awaitable<void> fetch_content(std::vector<Job>& jobs);
    boost::asio::awaitable<void> review_holds(); // is the reason still there?
    boost::asio::awaitable<void> release_where_the_reason_is_gone(std::vector<queue::HeldAlike> held);

    // Sending and stopping.
    boost::asio::awaitable<std::unique_ptr<Errand>> taken_over(Courier::Round& round);
    void free_the_waiting();
    std::optional<Job> noted(std::optional<Job> job); // begun
    boost::asio::awaitable<void> send_jobs();         // one job after the other; as many of these as connections
    boost::asio::awaitable<void> wind_down();
    bool holds(const Job& job) const;
    bool may_begin(const Job& job) const;
    std::vector<const Progress*> carried() const;
    void watch(); // over deliveries that do not end in their time
    void start_senders();
    template <class Coroutine>
    void spawn(Coroutine coroutine);
    void heard(const pg::Notification& notification);

    boost::asio::io_context& io_;
    Setup setup_;
    SafeTransport transport_; // nothing goes round it
    queue::DatabaseLane claim_lane_;
    queue::DatabaseLane write_lane_;
    queue::DatabaseLane read_lane_;
    queue::DatabaseLane beat_lane_; // nothing but the heartbeat: it must never wait
    queue::DatabaseLane upkeep_lane_;
    Places places_;
    Events events_;
    std::unique_ptr<Journal> journal_;
    Inheritance inheritance_;
    Completer completer_;
    Enrollment enrollment_;
    Courier courier_;
    Upkeep upkeep_;
    Housekeeping housekeeping_;
    std::unique_ptr<queue::Listener> listener_;

    std::shared_ptr<const Snapshot> snapshot_;
    Decisions decisions_; // what sort() decides by
    Routes routes_;
    RouteKeeper keeper_;
    LowWater low_water_;
    std::optional<std::chrono::steady_clock::time_point> unreachable_since_; // for claims
    std::chrono::steady_clock::time_point next_look_for_suspects_;
    std::chrono::steady_clock::time_point look_again_; // after a notification
    Lane suspect_lane_ = Lane::bulk;
    int looks_for_suspects_ = 0; // that need not wait for their time
    std::size_t claimed_ = 0;    // messages, since the start
    std::chrono::steady_clock::time_point claims_paused_until_;
    int senders_ = 0;
    std::set<Courier::Round*> rounds_; // of the senders
    std::set<std::string> stuck_;      // uids of deliveries that have not ended in their time, told once
    int loops_ = 0;
    Wakeup claim_wakeup_;
    Wakeup progress_;
    Wakeup review_;
    Wakeup recording_;
    bool claiming_ = false;
    bool claim_is_unknown_ = false; // the last one got no answer
    struct HandBacks {
        queue::DispatcherId by = 0;
        std::int64_t times = 0;
    } hand_backs_;
    pg::Timestamp leased_until_; // by claims that were answered, in the database's time
    bool stopping_ = false;
    std::chrono::steady_clock::time_point stop_deadline_;
};

} // namespace mailroom
