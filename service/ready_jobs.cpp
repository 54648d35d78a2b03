#include "service/ready_jobs.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mailroom {
namespace {

constexpr std::array<int, lane_count> weights{8, 4, 1};
constexpr int all_weights = 13;

} // namespace

void ReadyJobs::push(Job job)
{
    auto& lane = lanes_[static_cast<std::size_t>(job.claimed.lane)];
    lane.push_back(std::move(job));
}

// Smooth weighted turns: each lane with work earns its weight, the richest pays for all.
std::optional<Job> ReadyJobs::pop()
{
    std::size_t chosen = lane_count;
    int earned = 0;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
        if (lanes_[lane].empty())
            continue;
        credit_[lane] += weights[lane];
        earned += weights[lane];
        if (chosen == lane_count || credit_[lane] > credit_[chosen])
            chosen = lane;
    }
    if (chosen == lane_count)
        return std::nullopt;
    credit_[chosen] -= earned;
    std::optional<Job> job(std::move(lanes_[chosen].front()));
    lanes_[chosen].pop_front();
    return job;
}

std::size_t ReadyJobs::size() const
{
    return std::accumulate(lanes_.begin(), lanes_.end(), std::size_t{0},
                           [](std::size_t sum, const auto& lane) { return sum + lane.size(); });
}

queue::LaneShares ReadyJobs::shares(int room) const
{
    int hungry = 0;
    for (std::size_t lane = 0; lane < lane_count; ++lane)
        hungry += was_full_[lane] ? weights[lane] : 0;
    queue::LaneShares shares;
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
        const int among = was_full_[lane] ? hungry : all_weights;
        shares.limit[lane] = std::max(1, room * weights[lane] / std::max(among, 1));
    }
    return shares;
}

void ReadyJobs::claimed(const queue::LaneShares& asked, const std::vector<queue::Claimed>& got)
{
    std::array<int, lane_count> count{};
    for (const auto& claimed : got)
        ++count[static_cast<std::size_t>(claimed.lane)];
    for (std::size_t lane = 0; lane < lane_count; ++lane)
        was_full_[lane] = count[lane] >= asked.limit[lane];
}

} // namespace mailroom
