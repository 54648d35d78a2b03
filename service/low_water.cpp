#include "service/low_water.hpp"

#include <algorithm>

namespace mailroom {
namespace {

// Ours: a fiftieth of the time at most is spent on whole looks. What was put in front of the mark (a transaction that
// committed late, a release) waits for one: milliseconds where they are cheap, seconds where they are not.
constexpr int rarity = 50;
constexpr auto at_most = std::chrono::seconds(30);

} // namespace

void LowWater::mark(std::vector<queue::Range>& ranges, Clock::time_point now)
{
    looks_again_ = false;
    for (auto& [key, mark] : marks_)
        mark.asked = mark.whole = false;
    for (queue::Range& range : ranges) {
        Mark& mark = marks_[{range.place, range.lane}];
        mark.asked = true;
        mark.whole = now >= mark.next_whole_look;
        if (mark.whole)
            mark.next_whole_look =
                now + at_most; // until it is known what it cost, and if it costs too much to be answered
        else
            range.since = mark.last;
    }
}

void LowWater::claimed(const std::vector<queue::Claimed>& got, Clock::time_point began, Clock::time_point ended)
{
    std::map<std::pair<queue::PlaceId, Lane>, pg::Timestamp> newest;
    for (const auto& message : got) {
        auto& run_at = newest[{message.place, message.lane}];
        run_at = std::max(run_at, message.run_at);
    }
    for (auto& [range, mark] : marks_) {
        const auto found = newest.find(range);
        if (found != newest.end()) // a whole look may have found what lies in front of the mark, and not all of it
            mark.last = mark.whole ? found->second : std::max(mark.last, found->second);
        if (mark.whole && !looks_again_)
            mark.next_whole_look = ended + std::min<Clock::duration>((ended - began) * rarity, at_most);
    }
}

LowWater::Clock::duration LowWater::rest(Clock::duration longest, Clock::time_point now) const
{
    bool looked_at_all = true;
    Clock::time_point all_may_be; // at each range: one at a time would never come to an end
    for (const auto& [range, mark] : marks_) {
        if (!mark.asked)
            continue;
        looked_at_all = looked_at_all && mark.whole;
        all_may_be = std::max(all_may_be, mark.next_whole_look);
    }
    return looked_at_all ? longest : std::clamp(all_may_be - now, Clock::duration(0), longest);
}

void LowWater::look_at_all()
{
    looks_again_ = true;
    for (auto& [key, mark] : marks_)
        mark.next_whole_look = {};
}

} // namespace mailroom
