#include "service/rules/backoff.hpp"

#include <algorithm>
#include <array>

namespace mailroom::rules {

std::chrono::milliseconds backoff(int attempt, double chance)
{
    using std::chrono::minutes;
    // Ours: soon enough for a greylisting server, rare enough for one that is down. RFC 5321 section 4.5.4.1 asks
    // relays for 30 minutes; a submission server is our own and may be asked sooner.
    constexpr std::array<minutes, 7> steps{minutes(1),  minutes(5),   minutes(15), minutes(30),
                                           minutes(60), minutes(120), minutes(240)};
    const auto step = static_cast<std::size_t>(std::clamp(attempt, 1, static_cast<int>(steps.size())) - 1);
    const double factor = 0.75 + 0.5 * std::clamp(chance, 0.0, 1.0);
    const std::chrono::duration<double, std::milli> spread = factor * steps[step];
    return std::chrono::duration_cast<std::chrono::milliseconds>(spread);
}

} // namespace mailroom::rules
