// One sending account as this dispatcher sees it: the messages that are ready for it, how many it carries at the
// moment, what its server lets it do, and whether messages wait for it in the database. Pure: it is told the time.
#pragma once

#include "config/mail_settings.hpp"

#include "queue/route_store.hpp"
#include "service/job.hpp"
#include "service/rules/minute_window.hpp"

#include <array>
#include <chrono>
#include <deque>
#include <optional>
#include <string>

namespace mailroom {

struct Route {
    using Clock = std::chrono::steady_clock;

    std::string key;     // smtp/host:port/login
    std::string account; // for people
    std::string host;    // lower case
    std::string login;
    AccountLimits limits;
    int max_connections = 1; // of ours or of its limits, whichever is less

    // What is here.
    std::array<std::deque<Job>, lane_count> jobs;
    std::array<int, lane_count> ready{}; // jobs here, or whose content is on its way here
    int active = 0;                      // being carried
    int behind = 0;                      // begun behind one of these; the minute counts them when their turn comes

    // What its limits leave. Only a dispatcher that owns a limited route sends by it.
    rules::MinuteWindow minute;
    int granted = 0; // recipients that may be served
    std::chrono::system_clock::time_point granted_at;
    int wanted = 0; // recipients of what is ready
    Clock::time_point no_grants_until;
    std::optional<queue::DispatcherId> owner;
    Clock::time_point others_until; // another dispatcher owns it; then we look again
    Clock::time_point told_until;   // the database was told that it waits for its minute until then

    // A server in trouble: nothing begins until then, and then one message alone finds out.
    Clock::time_point blocked_until;
    std::string blocked_why;
    bool block_is_told = false; // the database knows, and may take it back
    bool proving = false;
    int troubles = 0; // in a row
    Clock::time_point troubled_since;
    std::string trouble;          // the last of them, for people
    bool trouble_is_told = false; // to operators
    bool pause_is_told = false;   // to operators: this machine could not send
    Clock::time_point busy_at;    // the last time that anything waited here, or was carried
    int fewer_connections = 0;    // it refused some of ours while others worked
    Clock::time_point fewer_until;

    // Its messages in the database.
    std::optional<queue::PlaceId> place;
    std::array<bool, lane_count> parked{};                 // some may stand there
    std::array<Clock::time_point, lane_count> parked_at{}; // by us

    bool limited() const { return limits.messages_per_minute + limits.connections + limits.recipients_per_day > 0; }
    bool is_ours(queue::DispatcherId dispatcher) const { return !limited() || owner == dispatcher; }
    bool blocked(Clock::time_point now) const { return now < blocked_until; }
    bool is_troubled_for_long(Clock::time_point now) const; // so that people should know

    int connections(Clock::time_point now) const; // that may be used now
    bool may_begin(const Job& job, Clock::time_point now) const;
    int may_begin(Clock::time_point now) const; // how many more, as far as connections and the minute go
    bool may_begin_behind(const Job& job, Clock::time_point now) const; // on the connection of one that is carried
    int ready_up_to(Lane lane) const;                                   // of the lane and the more urgent ones
    int needed(const Job& job) const; // recipients to be granted; 0: nobody counts them
    bool anything_parked() const;
    bool waits_behind_parked(Lane lane) const; // something stands in the same or a more urgent lane

    void taken_over(queue::DispatcherId dispatcher, Clock::time_point now); // we own it from now on
    void begin(Job& job, Clock::time_point now);
    void begin_behind(Job& job);           // take_over() follows when the one before has ended, or not_begun()
    void take_over(Clock::time_point now); // on the connection of the one before
    void not_begun(Job& job);              // it is ready again
    enum class Ended { served, unserved, troubled };         // unserved: the server answered, and took no recipient
    void end(int charged, Ended how, Clock::time_point now); // charged: recipients, when it began

    // The server refused a connection or is away. While others of ours are under way it only gets fewer of them: they
    // will tell. The last one blocks it: nothing begins for a while.
    enum class Trouble { fewer_connections, blocked, blocked_before };
    Trouble troubled(std::chrono::milliseconds rest, std::string why, Clock::time_point now);
    void block(Clock::time_point until, std::string why);
    void unblock();
    // From time to time: a trouble that nothing waits for any more is forgotten, and so is a pause. Whether a pause is.
    enum class Pause { goes_on, is_over };
    Pause watch(Clock::time_point now);

private:
    bool is_busy(Clock::time_point now) const;
    void charge(Job& job);
};

struct RouteName {
    std::string key;
    std::string account;
    std::string host;
    std::string login;
};
RouteName route_of(const rules::Identity& identity);
RouteName route_named(const std::string& key); // as it stands in the database

} // namespace mailroom
