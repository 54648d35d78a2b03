#include "config/secret.hpp"

namespace mailroom {

void wipe(std::string& text) noexcept
{
    text.resize(text.capacity()); // what a longer value left behind as well; never allocates
    volatile char* at = text.data();
    for (std::size_t i = 0; i < text.size(); ++i)
        at[i] = 0;
    text.clear();
}

void Secret::wipe() noexcept
{
    mailroom::wipe(text_);
}

Secret& Secret::operator=(const Secret& other)
{
    if (this != &other) {
        wipe();
        text_ = other.text_;
    }
    return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept
{
    if (this != &other) {
        wipe();
        text_ = std::move(other.text_);
        other.wipe();
    }
    return *this;
}

} // namespace mailroom
