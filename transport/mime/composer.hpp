// Composes an Internet message (RFC 5322, MIME) of 7-bit octets: text, HTML, inline images, attachments. Pure: the same
// Message gives the same octets on every retry. It reads no attachment: it says where each belongs and how it is
// encoded.
#pragma once

#include "transport/mime/message.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mailroom::mime {

// The base64 of attachment `index`, in lines of 76 characters ending in CRLF.
struct EncodedAttachment {
    std::size_t index = 0;
};

// Literal octets (whole lines), or an attachment's place. Every piece starts at the start of a line.
using Piece = std::variant<std::string, EncodedAttachment>;

struct Composition {
    std::vector<Piece> pieces;
    std::uint64_t size = 0; // octets in all, exact, before dot-stuffing
};

inline constexpr int composer_version = 1; // raised when the octets of the same Message change

Composition compose(const Message& message);

// Base64 in lines of 76 characters (RFC 2045 section 6.8). Slices whose size is a multiple of `slice_unit` can be
// encoded one by one; only the last may be of another size.
inline constexpr std::size_t slice_unit = 57; // octets that fill one line of 76 characters
void append_base64_lines(std::string& out, std::string_view bytes);
std::uint64_t base64_lines_size(std::uint64_t bytes);

} // namespace mailroom::mime
