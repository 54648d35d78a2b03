// Messages that are decided and wait for a connection, by lane: urgent, normal and bulk take turns 8 : 4 : 1, so that
// urgent mail passes and bulk never stops. It also says how many of each lane to claim next.
#pragma once

#include "queue/store.hpp"
#include "service/job.hpp"

#include <array>
#include <deque>
#include <optional>

namespace mailroom {

class ReadyJobs {
public:
    void push(Job job);
    std::optional<Job> pop();
    std::size_t size() const;

    // A lane that had less than it was asked for last time leaves its share to the others, but for a look.
    queue::LaneShares shares(int room) const;
    void claimed(const queue::LaneShares& asked, const std::vector<queue::Claimed>& got);

private:
    std::array<std::deque<Job>, lane_count> lanes_;
    std::array<int, lane_count> credit_{};    // of the turns
    std::array<bool, lane_count> was_full_{}; // the last claim brought all that it was asked for
};

} // namespace mailroom
