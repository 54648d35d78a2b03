// Waiting on libpq's socket together with a stop signal, within a deadline. One file for each platform: wait_posix.cpp.
#pragma once

#include <chrono>

namespace mailroom::pg {

using Clock = std::chrono::steady_clock;

// Wakes every wait that was given it, from any thread, once and for good.
class StopEvent {
public:
    StopEvent();
    ~StopEvent();
    StopEvent(const StopEvent&) = delete;
    StopEvent& operator=(const StopEvent&) = delete;

    void set() const;
    int handle() const { return handle_; }

private:
    int handle_;
};

enum class Waited { readable, writable, timed_out, stopped, failed };
enum class Interest { read, read_write };

// stop may be null. Errors on the socket count as readable: libpq then tells what they are.
Waited wait(int socket, Interest interest, Clock::time_point deadline, const StopEvent* stop);

} // namespace mailroom::pg
