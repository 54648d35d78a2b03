// Encoded words of RFC 2047, always in UTF-8: how text that is not plain US-ASCII stands in a header. It encodes one
// word at a time; header_field.cpp and parameter.cpp fold between them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mailroom::mime {

inline constexpr std::size_t max_encoded_word = 75; // characters, RFC 2047 section 2
inline constexpr std::size_t max_encoded_line = 76; // of a line that has one, the same section

// The least room that every character finds a place in: the frame of 12 and four octets as =XX.
inline constexpr std::size_t min_encoded_word = 24;

enum class WordEncoding { b, q };

// The one that makes `text` shorter; q, which people can read, when it makes no difference.
WordEncoding shorter_encoding(std::string_view text);

// Takes as many whole characters from the front of `text` as fit, and appends them as one encoded word of at most
// `room` characters (from min_encoded_word; never more than 75). At least one character is taken.
void take_encoded_word(std::string& out, std::string_view& text, WordEncoding encoding, std::size_t room);

} // namespace mailroom::mime
