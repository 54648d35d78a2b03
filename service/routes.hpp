// All routes of this dispatcher: which message goes next, and which ranges of the queue to claim from. Urgent, normal
// and bulk take turns 8 : 4 : 1, both among what is ready and when claiming; within a lane the accounts take turns, and
// none uses more than its connections. Pure: it is told the time.
#pragma once

#include "queue/store.hpp"
#include "service/route.hpp"
#include "service/snapshot.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mailroom {

class Routes {
public:
    using Clock = Route::Clock;

    // per_account: connections at the same time, unless the account's limits say less.
    explicit Routes(int per_account) : per_account_(per_account) {}
    void allow(int per_account) { per_account_ = per_account; } // settings_changed() follows

    Route& of(const RouteName& name, const MailSettings& settings, Clock::time_point now);
    Route* at(queue::PlaceId place);
    std::map<std::string, Route>& all() { return routes_; }
    const std::map<std::string, Route>& all() const { return routes_; }

    // Other settings: limits may be others. What they open again the database says.
    void settings_changed(const MailSettings& settings, Clock::time_point now);

    // What is ready.
    bool has_room(const Route& route, Lane lane, Clock::time_point now) const; // for one more that is taken in
    void take(const Job& job);                                                 // it will be pushed
    void leave(const Job& job);                                                // it will not, after all
    void push(Job job);
    std::optional<Job> pop(Clock::time_point now); // it has begun
    // What pop() would give next, if that is a small message of this route: it is begun behind the one that the asking
    // sender still carries there, and takes its connection over. None: it is another's turn.
    std::optional<Job> pop_behind(const Route& route, Clock::time_point now);
    void give_back(Job job);                  // what pop_behind() gave waits too long there: it goes next
    std::vector<Job> take_back(Route& route); // all that are ready: they are to be parked
    void ended(const Job& job) { suspects_ -= job.is_suspect() ? 1 : 0; } // what pop() gave
    bool has_suspect() const { return suspects_ > 0; }
    int ready(Lane up_to = Lane::bulk) const;                                // of the lane and the more urgent ones
    bool is_low(const Route& route, Lane lane, Clock::time_point now) const; // time to claim
    int may_begin(Clock::time_point now) const;                              // jobs that could begin at once
    std::optional<Clock::time_point> next_turn(Clock::time_point now) const; // when a limit or a block ends

    // What to claim next. Unsorted messages of a lane while little of it, or of a more urgent one, is ready; of all
    // lanes where connections are free that nothing here can use: those behind a full route may go by another.
    enum class Idle { no, yes };
    std::vector<queue::Range> ranges(Idle idle, queue::DispatcherId dispatcher, Clock::time_point now);
    void claimed(const std::vector<queue::Range>& asked, const std::vector<queue::Claimed>& got, Clock::time_point now);
    static void parked(Route& route, Lane lane, Clock::time_point now);
    void stands_at(Route& route, queue::PlaceId place);
    // A route at which messages may stand: where, and until when it is blocked.
    void waiting(const queue::WaitingRoute& found, queue::DispatcherId dispatcher, const MailSettings& settings,
                 Clock::time_point now);

private:
    int most_ready(const Route& route, Clock::time_point now) const;
    using Turns = std::list<Route*>;
    struct Turn {
        std::array<int, lane_count> credit{}; // of the lanes, once it is taken
        std::size_t lane = lane_count;        // none has anything to begin
        Turns::iterator route;
    };
    using MayBegin = std::function<bool(const Route&, const Job&)>;
    Turn next_turn(const MayBegin& may_begin);
    Job take_turn(const Turn& turn);
    void add_unsorted(Idle idle, std::vector<queue::Range>& ranges) const;
    static int add_parked(const Route& route, int most, int room, std::vector<queue::Range>& ranges);
    void limit(Route& route, const MailSettings& settings, Clock::time_point now) const;

    int per_account_;
    std::map<std::string, Route> routes_; // by key; never erased while the service runs: as many as accounts
    std::map<queue::PlaceId, Route*> places_;
    std::array<Turns, lane_count> turns_;     // routes that have jobs of a lane, whose turn it is first
    std::array<int, lane_count> credit_{};    // of the lanes' turns
    std::array<bool, lane_count> was_full_{}; // the last claim brought all that it was asked for
    std::string next_parked_;                 // the key of the route whose parked messages are claimed first
    std::array<int, lane_count> ready_{};     // by lane
    int suspects_ = 0;                        // ready or begun
};

} // namespace mailroom
