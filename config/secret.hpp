// A password, a token or a key: it cannot be printed or compared by accident, and its memory is wiped.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace mailroom {

class Secret {
public:
    Secret() = default;
    explicit Secret(std::string text) : text_(std::move(text)) {}
    Secret(const Secret&) = default;
    Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }
    Secret& operator=(const Secret& other);
    Secret& operator=(Secret&& other) noexcept;
    ~Secret() { wipe(); }

    bool empty() const { return text_.empty(); }
    std::string_view reveal() const { return text_; } // for the one place that needs it: a wire, a cipher

private:
    void wipe() noexcept;
    std::string text_;
};

void wipe(std::string& text) noexcept; // overwrites, then empties

} // namespace mailroom
