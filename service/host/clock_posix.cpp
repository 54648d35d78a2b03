#include "service/host/clock.hpp"

#include <sys/timex.h>

namespace mailroom::host {

std::optional<bool> clock_is_kept()
{
    struct timex clock = {}; // no modes: it is only read
    const int state = ::adjtimex(&clock);
    if (state < 0)
        return std::nullopt;
    return state != TIME_ERROR && (clock.status & STA_UNSYNC) == 0;
}

} // namespace mailroom::host
