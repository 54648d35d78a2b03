#include "transport/trace.hpp"

#include <utility>

namespace mailroom {

void Trace::begin(Stage stage, Clock::time_point now)
{
    if (steps.size() < max_steps)
        steps.push_back({stage, now, std::nullopt, {}});
}

void Trace::end(std::string words, Clock::time_point now)
{
    if (steps.empty() || steps.back().ended)
        return;
    steps.back().ended = now;
    steps.back().words = std::move(words);
}

const Trace::Step* Trace::open() const
{
    return steps.empty() || steps.back().ended ? nullptr : &steps.back();
}

} // namespace mailroom
