#include "queue/pg/wait.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <unistd.h>

namespace mailroom::pg {

StopEvent::StopEvent() : handle_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (handle_ < 0)
        throw std::runtime_error("cannot make an event: the process has no file descriptor left");
}

StopEvent::~StopEvent()
{
    ::close(handle_);
}

void StopEvent::set() const
{
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(handle_, &one, sizeof one); // fails only when it is set already
}

Waited wait(int socket, Interest interest, Clock::time_point deadline, const StopEvent* stop)
{
    const auto events = static_cast<short>(interest == Interest::read ? POLLIN : POLLIN | POLLOUT);
    std::array<pollfd, 2> fds{{{socket, events, 0}, {stop ? stop->handle() : -1, POLLIN, 0}}};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0)
            return Waited::timed_out;
        const int ready = ::poll(fds.data(), fds.size(), left > 60'000 ? 60'000 : static_cast<int>(left));
        if (ready < 0 && errno != EINTR)
            return Waited::failed;
        if (ready <= 0)
            continue;
        if (fds[1].revents != 0)
            return Waited::stopped;
        return (fds[0].revents & ~POLLOUT) != 0 ? Waited::readable : Waited::writable;
    }
}

} // namespace mailroom::pg
