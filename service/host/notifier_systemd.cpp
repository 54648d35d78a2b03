#include "service/host/notifier.hpp"

#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <utility>

namespace mailroom::host {
namespace {

constexpr std::size_t longest_status = 500; // octets, ours: it is one line of `systemctl status`
constexpr std::size_t most_untold = 100;    // ours: each is a reload, or the end of one

// As sd_notify(3) does, which waits while systemd has no room. False: it has none now. Any other error means that
// nobody hears it, and there is no one else to be told.
bool send(std::string_view state)
{
    const char* const given = std::getenv("NOTIFY_SOCKET");
    const std::string_view name = given != nullptr ? given : "";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (name.empty() || name.size() >= sizeof address.sun_path)
        return true;
    std::ranges::copy(name, address.sun_path);
    if (name.front() == '@') // an abstract one
        address.sun_path[0] = '\0';
    const int handle = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (handle < 0)
        return true;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    const auto sent = ::sendto(handle, state.data(), state.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&address), size); // what the interface wants
    const bool is_full = sent < 0 && errno == EAGAIN;
    ::close(handle);
    return !is_full;
}

} // namespace

bool Notifier::is_heard()
{
    while (!untold_.empty() && send(untold_.front()))
        untold_.pop_front();
    return untold_.empty();
}

void Notifier::tell(std::string state)
{
    if ((!is_heard() || !send(state)) && untold_.size() < most_untold)
        untold_.push_back(std::move(state));
}

void Notifier::status(std::string_view text)
{
    const bool may_be_told = is_heard();
    std::string line(text);
    std::ranges::replace(line, '\n', ' ');
    line = printable(line, longest_status);
    if (may_be_told && line != status_ && send("STATUS=" + line))
        status_ = std::move(line);
}

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
    if (is_heard()) // what comes too late is of no use
        static_cast<void>(send("WATCHDOG=1"));
}

std::optional<std::chrono::microseconds> Notifier::watchdog_limit()
{
    std::uint64_t limit = 0;
    if (::sd_watchdog_enabled(0, &limit) <= 0)
        return std::nullopt;
    return std::chrono::microseconds(limit);
}

} // namespace mailroom::host
