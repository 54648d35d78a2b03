#include "transport/progress.hpp"

#include <array>
#include <utility>

namespace mailroom {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// 0.3, 24.6: of 1,000,000 octets.
std::string megabytes(std::uint64_t octets)
{
    const std::uint64_t tenths = (octets + 50'000) / 100'000;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

std::string content(const Progress& progress)
{
    if (progress.size < 100'000)
        return std::to_string(progress.sent) + " of " + std::to_string(progress.size) + " octets of content sent";
    return megabytes(progress.sent) + " of " + megabytes(progress.size) + " MB of content sent";
}

std::string standing(const Progress& progress)
{
    switch (progress.step) {
    case Progress::Step::content_read:
        return "reading the message from the database for";
    case Progress::Step::session:
        return "waiting for another's first login for";
    case Progress::Step::opening:
        return "opening a connection for";
    case Progress::Step::commands:
        return std::to_string(progress.answered) + " of " + std::to_string(progress.recipients) +
               " recipients answered in";
    case Progress::Step::content:
        return content(progress) + " in";
    case Progress::Step::final_reply:
        return "waiting for the reply to the final dot for";
    case Progress::Step::outcome:
        return "writing the outcome to the database for";
    }
    return {};
}

} // namespace

void Progress::enter(Step next, Clock::time_point now, Clock::time_point its_end)
{
    step = next;
    since = now;
    due = its_end;
}

std::string describe(std::chrono::milliseconds time)
{
    struct Unit {
        milliseconds length;
        const char* name;
    };
    constexpr std::array units{Unit{24h, " days"}, Unit{1h, " h"}, Unit{1min, " min"}, Unit{1s, " s"}};
    for (const Unit& unit : units) {
        if (time >= 2 * unit.length) // 90 s tell more than 1 min
            return std::to_string(time / unit.length) + unit.name;
    }
    return std::to_string(time.count()) + " ms";
}

std::string describe(const Progress& progress, Progress::Clock::time_point now)
{
    return standing(progress) + " " + describe(std::chrono::duration_cast<milliseconds>(now - progress.since));
}

} // namespace mailroom
