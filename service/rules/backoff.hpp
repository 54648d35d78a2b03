// When a deferred message is tried again: 1, 5, 15, 30, 60 minutes, 2 hours, then every 4 hours, each 25 % more or less
// by chance, so that messages that failed together do not come back together.
#pragma once

#include <chrono>

namespace mailroom::rules {

// attempt: how many attempts have a recorded outcome, this one included (1 or more). chance: 0 to below 1.
std::chrono::milliseconds backoff(int attempt, double chance);

} // namespace mailroom::rules
