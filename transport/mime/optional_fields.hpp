// The header fields of messages that are of high or low priority, or that a recipient can leave by one click
// (RFC 8058). What they say is the Message's; how any field is folded is header_field.hpp's.
#pragma once

#include "transport/mime/message.hpp"

#include <string>

namespace mailroom::mime {

// Nothing for normal: that is what a message without these fields is.
void append_priority(std::string& out, Priority priority);

// Each link stands whole on one line, of at most 998 characters.
void append_unsubscribe(std::string& out, const Unsubscribe& unsubscribe);

// mailto:... of RFC 6068, in US-ASCII whatever the address is.
std::string mailto_link(const MailAddress& address);

// Whether the message says by a member of its own what this field of the producer's says.
bool is_said_otherwise(const Message& message, const HeaderName& name);

} // namespace mailroom::mime
