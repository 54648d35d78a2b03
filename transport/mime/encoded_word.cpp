#include "transport/mime/encoded_word.hpp"

#include "transport/mime/base64.hpp"
#include "transport/mime/plain_text.hpp"

#include <algorithm>
#include <array>

namespace mailroom::mime {
namespace {

constexpr std::string_view frame_b = "=?UTF-8?B?";
constexpr std::string_view frame_q = "=?UTF-8?Q?";
constexpr std::size_t frame_size = frame_b.size() + 2; // and ?=

// What may stand for itself in a phrase, RFC 2047 section 5 (3); the strictest of the places, so that one rule fits
// all.
bool is_literal(char c)
{
    constexpr std::string_view marks = "!*+-/";
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           marks.find(c) != std::string_view::npos;
}

std::size_t q_size(char c)
{
    return is_literal(c) || c == ' ' ? 1 : 3;
}

std::size_t q_size(std::string_view text)
{
    std::size_t size = 0;
    for (const char c : text)
        size += q_size(c);
    return size;
}

void append_q(std::string& out, std::string_view text)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (const char c : text) {
        if (c == ' ') {
            out += '_';
        } else if (is_literal(c)) {
            out += c;
        } else {
            const auto octet = static_cast<unsigned char>(c);
            const std::array<char, 3> escape = {'=', digits[octet >> 4], digits[octet & 15]};
            out.append(escape.data(), escape.size());
        }
    }
}

} // namespace

WordEncoding shorter_encoding(std::string_view text)
{
    return q_size(text) <= base64_size(text.size()) ? WordEncoding::q : WordEncoding::b;
}

void take_encoded_word(std::string& out, std::string_view& text, WordEncoding encoding, std::size_t room)
{
    const std::size_t payload = std::min(room, max_encoded_word) - frame_size;
    std::size_t end = 0;  // never inside a character (RFC 2047 section 5)
    std::size_t size = 0; // of text[0, end) in q
    std::size_t unpadded = 0;
    while (end < text.size()) {
        const std::size_t next = character_end(text, end);
        size += q_size(text.substr(end, next - end));
        const bool fits = encoding == WordEncoding::q ? size <= payload : base64_size(next) <= payload;
        if (!fits && end != 0)
            break;
        end = next;
        if (end % 3 == 0)
            unpadded = end;
    }
    // Readers exist that join the words of a run before they decode them, and drop all behind the first padding.
    if (encoding == WordEncoding::b && end < text.size() && unpadded != 0)
        end = unpadded;
    out += encoding == WordEncoding::q ? frame_q : frame_b;
    if (encoding == WordEncoding::q)
        append_q(out, text.substr(0, end));
    else
        append_base64(out, text.substr(0, end));
    out += "?=";
    text.remove_prefix(end);
}

} // namespace mailroom::mime
