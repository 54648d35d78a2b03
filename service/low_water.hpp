// From which run_at on a claim looks into its ranges. While somebody holds a transaction open, the rows that are done
// stay in front of those that wait, and a claim that begins at the beginning walks over all of them again. So it begins
// where the last one ended, and only now and then at the beginning: the more often, the less that costs. Pure.
#pragma once

#include "queue/store.hpp"

#include <chrono>
#include <map>
#include <utility>
#include <vector>

namespace mailroom {

class LowWater {
public:
    using Clock = std::chrono::steady_clock;

    void mark(std::vector<queue::Range>& ranges, Clock::time_point now); // sets where each begins
    void claimed(const std::vector<queue::Claimed>& got, Clock::time_point began, Clock::time_point ended);
    // How long to rest after a claim that got nothing: where it did not look at all, something may wait in front of
    // the marks, and nobody tells of it.
    Clock::duration rest(Clock::duration longest, Clock::time_point now) const;
    void look_at_all(); // at the next claim, one under way not counted: much may stand in front of the marks by now

private:
    struct Mark {
        pg::Timestamp last; // run_at that was claimed
        Clock::time_point next_whole_look;
        bool asked = false; // the last claim looked into it,
        bool whole = false; // from the beginning
    };
    std::map<std::pair<queue::PlaceId, Lane>, Mark> marks_;
    bool looks_again_ = false; // asked for while a claim is under way
};

} // namespace mailroom
