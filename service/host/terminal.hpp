// A page on a terminal that is drawn again and again in the same place, and what the person before it does meanwhile.
// What the terminal showed before comes back at the end, however that comes.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::host {

// What stands before the edge: so many characters of UTF-8, and none that could move the cursor.
std::string cut(std::string_view line, std::size_t columns);

// One at a time.
class Terminal {
public:
    static bool is_there(); // standard input and output are one

    Terminal();
    ~Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    struct Size {
        std::size_t columns = 80;
        std::size_t rows = 24;
    };
    static Size size();

    // Of lines that are too many, the last is kept.
    static void draw(const std::vector<std::string>& lines);

    enum class Event { time_is_over, resized, quit };        // quit: q, Ctrl-C, or a signal that ends
    Event wait(std::chrono::steady_clock::time_point until); // other keys are passed over

private:
    struct Before;
    std::unique_ptr<Before> before_;
};

} // namespace mailroom::host
