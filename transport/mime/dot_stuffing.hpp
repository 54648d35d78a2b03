// Dot-stuffing of RFC 5321 section 4.5.2: a line of content that starts with a dot gets a second one, so that no line
// of it is ever the lone dot that ends the mail. Pure; the SMTP wire calls it on every block that it writes.
#pragma once

#include <string>
#include <string_view>

namespace mailroom::mime {

// Both take whole lines ending in CRLF, from the start of a line: what came before them does not matter.
bool needs_dot_stuffing(std::string_view lines);
void append_dot_stuffed(std::string& out, std::string_view lines);

} // namespace mailroom::mime
