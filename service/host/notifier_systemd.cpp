#include "service/host/notifier.hpp"

#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <systemd/sd-daemon.h>

namespace mailroom::host {
namespace {

constexpr std::size_t longest_status = 500; // octets, ours: it is one line of `systemctl status`

void tell(const std::string& state)
{
    // An error means that nobody hears it: there is no one else to be told.
    static_cast<void>(::sd_notify(0, state.c_str()));
}

} // namespace

void Notifier::status(std::string_view text)
{
    std::string line(text);
    std::ranges::replace(line, '\n', ' ');
    line = printable(line, longest_status);
    if (line == status_)
        return;
    tell("STATUS=" + line);
    status_ = std::move(line);
}

// NOLINTBEGIN(readability-convert-member-functions-to-static): other platforms keep a handle for them
void Notifier::ready()
{
    tell("READY=1");
}

void Notifier::reloading()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                     static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000));
}

void Notifier::stopping(std::chrono::milliseconds limit)
{
    // Only where it is longer than the unit's TimeoutStopSec does it make a difference.
    tell(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", limit.count() * 1000));
}

void Notifier::watchdog()
{
    tell("WATCHDOG=1");
}
// NOLINTEND(readability-convert-member-functions-to-static)

std::optional<std::chrono::microseconds> Notifier::watchdog_limit()
{
    std::uint64_t limit = 0;
    if (::sd_watchdog_enabled(0, &limit) <= 0)
        return std::nullopt;
    return std::chrono::microseconds(limit);
}

} // namespace mailroom::host
