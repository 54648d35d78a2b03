// When text may stand in a header as it is: the tests and the quoting that fields and parameters share. Text here is
// HeaderText's: UTF-8 without control characters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mailroom::mime {

bool is_ascii(std::string_view text);

// US-ASCII that no reader takes for encoded words, and whose ends no reader trims.
bool is_unmistakable(std::string_view text);

// The same where readers also fold runs of blanks into one: inside a phrase or a quoted string.
bool is_plain(std::string_view text);

// As a quoted-string of RFC 5322 section 3.2.4, on one line.
std::string quoted(std::string_view text);
std::size_t quoted_size(std::string_view text);

// Where the character of UTF-8 that starts at `at` ends.
std::size_t character_end(std::string_view text, std::size_t at);

} // namespace mailroom::mime
