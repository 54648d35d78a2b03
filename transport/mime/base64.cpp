#include "transport/mime/base64.hpp"

#include "transport/mime/composer.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace mailroom::mime {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Two characters for each value of 12 bits: half the look-ups of a table for 6 bits, and 8 KiB stay in the first cache.
using Pair = std::array<char, 2>;
constexpr auto pairs = [] {
    std::array<Pair, 4096> table{};
    for (std::size_t value = 0; value < table.size(); ++value)
        table[value] = {alphabet[value >> 6], alphabet[value & 63]};
    return table;
}();

unsigned octet(char c)
{
    return static_cast<unsigned char>(c);
}

// Compiled to one load and a swap, as a loop would not be.
std::uint64_t load_big_endian(const char* eight)
{
    const auto at = [&](int i, int bits) { return static_cast<std::uint64_t>(octet(eight[i])) << bits; };
    return at(0, 56) | at(1, 48) | at(2, 40) | at(3, 32) | at(4, 24) | at(5, 16) | at(6, 8) | at(7, 0);
}

// Writes base64_size(size) characters and returns where they end.
char* encode(char* to, const char* from, std::size_t size)
{
    for (; size >= 8; size -= 6, from += 6, to += 8) { // six octets at once, of eight that are there
        const std::uint64_t value = load_big_endian(from) >> 16;
        std::memcpy(to, pairs[value >> 36].data(), 2);
        std::memcpy(to + 2, pairs[value >> 24 & 0xFFF].data(), 2);
        std::memcpy(to + 4, pairs[value >> 12 & 0xFFF].data(), 2);
        std::memcpy(to + 6, pairs[value & 0xFFF].data(), 2);
    }
    for (; size >= 3; size -= 3, from += 3, to += 4) {
        const unsigned value = octet(from[0]) << 16 | octet(from[1]) << 8 | octet(from[2]);
        std::memcpy(to, pairs[value >> 12].data(), 2);
        std::memcpy(to + 2, pairs[value & 0xFFF].data(), 2);
    }
    if (size == 0)
        return to;
    const unsigned value = octet(from[0]) << 16 | (size == 2 ? octet(from[1]) << 8 : 0);
    std::memcpy(to, pairs[value >> 12].data(), 2);
    to[2] = size == 2 ? alphabet[value >> 6 & 63] : '=';
    to[3] = '=';
    return to + 4;
}

} // namespace

void append_base64(std::string& out, std::string_view bytes)
{
    const std::size_t before = out.size();
    out.resize(before + base64_size(bytes.size()));
    encode(out.data() + before, bytes.data(), bytes.size());
}

void append_base64_lines(std::string& out, std::string_view bytes)
{
    const std::size_t before = out.size();
    out.resize(before + static_cast<std::size_t>(base64_lines_size(bytes.size())));
    char* to = out.data() + before;
    while (!bytes.empty()) {
        const std::size_t size = std::min(slice_unit, bytes.size());
        to = encode(to, bytes.data(), size);
        *to++ = '\r';
        *to++ = '\n';
        bytes.remove_prefix(size);
    }
}

std::uint64_t base64_lines_size(std::uint64_t bytes)
{
    const std::uint64_t lines = (bytes + slice_unit - 1) / slice_unit;
    return (bytes + 2) / 3 * 4 + 2 * lines;
}

} // namespace mailroom::mime
