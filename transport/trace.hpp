// What a delivery did, step by step, with times and the server's words, for whoever shows it to a person. Values only;
// who carries the message fills it where the caller asks for it.
#pragma once

#include "transport/outcome.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace mailroom {

struct Trace {
    using Clock = std::chrono::steady_clock;
    static constexpr std::size_t max_steps = 200; // ours; what comes after is left out

    struct Step {
        Stage stage;
        Clock::time_point begun;
        std::optional<Clock::time_point> ended; // none: it did not come to its end
        std::string words;                      // the server's, or what we found; never a secret
    };
    std::vector<Step> steps;

    void begin(Stage stage, Clock::time_point now = Clock::now());
    void end(std::string words, Clock::time_point now = Clock::now()); // the step that was begun last
    const Step* open() const;                                          // the step that has not ended; null: none
};

} // namespace mailroom
