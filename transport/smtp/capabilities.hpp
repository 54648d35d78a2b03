// What a server said it can do, in its reply to EHLO (RFC 5321 section 4.1.1.1) and by its name. Values only.
#pragma once

#include "transport/smtp/reply.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace mailroom::smtp {

struct Capabilities {
    bool starttls = false;
    bool pipelining = false;
    bool eight_bit_mime = false;
    bool smtputf8 = false;
    bool enhanced_status_codes = false;
    bool size = false; // takes the parameter SIZE of MAIL FROM
    bool auth = false; // offered, with whatever mechanisms
    bool auth_plain = false;
    bool auth_login = false;
    std::string mechanisms;                // all that AUTH offers, in words: "NTLM XOAUTH2"
    std::optional<std::uint64_t> max_size; // octets of a message (RFC 1870); none: not said, or 0 for no limit
    bool by_known_maker = false;           // see is_by_known_maker
};

Capabilities parse_capabilities(const Reply& ehlo);

// Whether the greeting names a server that was seen to take the next message's commands behind a final dot: Postfix or
// Exim (tests/integration/test_daemon_servers.py). Dovecot 2.3 offers PIPELINING as well, and ends itself there.
bool is_by_known_maker(const Reply& greeting);

} // namespace mailroom::smtp
