// Where a delivery stands: kept up to date by whoever carries the message, read by whoever watches over it. Values
// only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace mailroom {

struct Progress {
    using Clock = std::chrono::steady_clock;
    static constexpr Clock::time_point never = Clock::time_point::max();

    enum class Step {
        content_read, // from the database
        session,      // waiting for somebody else's first login
        opening,      // of a connection
        commands,     // up to the reply to DATA
        content,
        final_reply,
        outcome // being written to the database
    };
    Step step = Step::content_read;
    Clock::time_point since = Clock::now(); // of this step, or of the message's first command
    // By its own limits the step has ended by then. never: it waits for the database, whose lanes have limits.
    Clock::time_point due = never;

    std::size_t recipients = 0;
    std::size_t answered = 0; // of them
    std::uint64_t size = 0;   // octets of content, before dot-stuffing
    std::uint64_t sent = 0;   // of them, handed to the socket

    void enter(Step next, Clock::time_point now, Clock::time_point its_end);
};

// "3.1 of 24.6 MB of content sent in 30 min", "opening a connection for 20 s".
std::string describe(const Progress& progress, Progress::Clock::time_point now);

std::string describe(std::chrono::milliseconds time); // 150 ms, 90 s, 30 min, 5 h, 5 days

} // namespace mailroom
