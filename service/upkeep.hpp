// What some dispatcher must do now and then, and every one does: reap the leases of dead dispatchers, release holds
// whose cause is gone, end what is past its expiry. In bounded steps; no leader is needed.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/route_store.hpp"
#include "queue/store.hpp"
#include "service/enrollment.hpp"
#include "service/events.hpp"
#include "service/journal/inheritance.hpp"
#include "service/places.hpp"
#include "service/rules/decide.hpp"
#include "service/rules/doubt.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace mailroom {

class Upkeep {
public:
    // moved: called when messages went back to be sorted.
    Upkeep(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane, Places& places,
           const Enrollment& enrollment, Inheritance& inheritance, Events& events, rules::Policy policy,
           rules::DoubtRules doubts, std::chrono::milliseconds interval, std::function<void()> moved);

    boost::asio::awaitable<void> run(); // until stop()
    void stop();
    void soon() { wakeup_.wake(); } // a setting changed: a release may be due

    // Lets these go, all of one hold; what is held there otherwise stays.
    boost::asio::awaitable<void> release_alike(std::vector<queue::HeldAlike> some);
    void follow(const rules::Policy& policy, rules::DoubtRules doubts)
    {
        policy_ = policy;
        doubts_ = std::move(doubts);
    }

private:
    static constexpr int most_at_once = 1000; // messages in one statement

    boost::asio::awaitable<void> inherit();
    boost::asio::awaitable<void> reap(queue::DispatcherId id);
    boost::asio::awaitable<void> retry_senders();
    boost::asio::awaitable<void> release();
    void tell_released(std::int64_t held);
    boost::asio::awaitable<void> expire();

    queue::DatabaseLane& lane_;
    Places& places_;
    const Enrollment& enrollment_;
    Inheritance& inheritance_;
    Events& events_;
    rules::Policy policy_;
    rules::DoubtRules doubts_;
    std::chrono::milliseconds interval_;
    std::function<void()> moved_;
    Wakeup wakeup_;
    int expire_step_ = most_at_once;                              // less after a limit that was too short for it
    std::chrono::steady_clock::time_point next_look_for_orphans_; // it reads the whole queue
    bool stopping_ = false;
};

} // namespace mailroom
