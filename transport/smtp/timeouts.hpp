// How long each step of SMTP may take. Per step and never for the whole: a slow server is no dead server. Shorter than
// RFC 5321 section 4.5.3.2 allows where a submission server answers at once, except for the dot, where giving up too
// early makes duplicates.
#pragma once

#include "transport/outcome.hpp"

#include <chrono>

namespace mailroom::smtp {

struct Timeouts {
    std::chrono::milliseconds resolve = std::chrono::seconds(10);
    std::chrono::milliseconds connect = std::chrono::seconds(20); // all addresses together
    std::chrono::milliseconds tls = std::chrono::seconds(30);
    std::chrono::milliseconds greeting = std::chrono::seconds(60);
    std::chrono::milliseconds ehlo = std::chrono::seconds(60); // STARTTLS as well
    std::chrono::milliseconds auth = std::chrono::seconds(60);
    std::chrono::milliseconds mail_from = std::chrono::seconds(120);
    std::chrono::milliseconds rcpt_to = std::chrono::seconds(120);
    std::chrono::milliseconds data = std::chrono::seconds(120);      // RFC 5321: 2 minutes
    std::chrono::milliseconds content = std::chrono::seconds(180);   // each piece of 64 KiB; RFC 5321: 3 minutes
    std::chrono::milliseconds final_dot = std::chrono::seconds(600); // RFC 5321: 10 minutes
    // Each reply to commands that went out behind the dot of the message before, where the command itself is not given
    // less. Ours: a server that threw them away must not cost the minutes of a slow one; it is asked again in
    // lock-step.
    std::chrono::milliseconds behind_the_dot = std::chrono::seconds(30);
    std::chrono::milliseconds rset = std::chrono::seconds(20);
    std::chrono::milliseconds quit = std::chrono::seconds(5);
};

inline std::chrono::milliseconds limit_of(Stage stage, const Timeouts& timeouts)
{
    switch (stage) {
    case Stage::resolve:
        return timeouts.resolve;
    case Stage::connect:
        return timeouts.connect;
    case Stage::tls:
        return timeouts.tls;
    case Stage::greeting:
        return timeouts.greeting;
    case Stage::ehlo:
    case Stage::starttls:
        return timeouts.ehlo;
    case Stage::auth:
        return timeouts.auth;
    case Stage::mail_from:
        return timeouts.mail_from;
    case Stage::rcpt_to:
        return timeouts.rcpt_to;
    case Stage::data:
        return timeouts.data;
    case Stage::content:
        return timeouts.content;
    case Stage::final_dot:
        return timeouts.final_dot;
    case Stage::rset:
        return timeouts.rset;
    case Stage::idle:
        return timeouts.quit;
    }
    return timeouts.ehlo;
}

} // namespace mailroom::smtp
