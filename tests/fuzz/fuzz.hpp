// What fuzz targets share: a way to say that a property does not hold, and to take an input apart. Each target is one
// LLVMFuzzerTestOneInput; replay.cpp runs it without libFuzzer, scripts/fuzz with it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace mailroom::fuzz {

inline void require(bool holds, const char* property)
{
    if (holds)
        return;
    std::fprintf(stderr, "this does not hold: %s\n", property);
    std::abort(); // libFuzzer and replay.cpp keep the input
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size)
{
    return {reinterpret_cast<const char*>(data), size};
}

// Takes the octets up to the next `border` off the front of `input`.
inline std::string_view take_until(std::string_view& input, char border)
{
    const std::string_view part = input.substr(0, input.find(border));
    input.remove_prefix(std::min(input.size(), part.size() + 1));
    return part;
}

inline bool has_line_end_or_nul(std::string_view text)
{
    return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

} // namespace mailroom::fuzz
