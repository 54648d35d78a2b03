// Base64 (RFC 4648 section 4) without line ends, as encoded words need it; composer.hpp has the lines of a body.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mailroom::mime {

constexpr std::size_t base64_size(std::size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

void append_base64(std::string& out, std::string_view bytes);

} // namespace mailroom::mime
