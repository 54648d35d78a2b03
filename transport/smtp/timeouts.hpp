// How long each step of SMTP may take, and a message as a whole up to its final dot. Shorter than RFC 5321 section
// 4.5.3.2 allows where a submission server answers at once, except for the dot, where giving up too early makes
// duplicates.
#pragma once

#include "transport/outcome.hpp"

#include <chrono>
#include <cstdint>

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
    // A message of up to `delivery_octets` from its first command to its final dot; a larger one has as much more as it
    // is larger. Ours: the RFC's limits are of single steps, and a server that takes 64 KiB each 179 s keeps them all.
    // 16 MiB in 30 minutes are 75 kbit/s. After the dot only `final_dot` counts.
    std::chrono::milliseconds delivery = std::chrono::minutes(30);
    static constexpr std::uint64_t delivery_octets = 16 * 1024 * 1024;
    std::chrono::milliseconds rset = std::chrono::seconds(20);
    std::chrono::milliseconds quit = std::chrono::seconds(5);
};

// size: octets of content.
inline std::chrono::milliseconds limit_of_delivery(std::uint64_t size, const Timeouts& timeouts)
{
    const double times = static_cast<double>(size) / static_cast<double>(Timeouts::delivery_octets);
    const std::chrono::duration<double, std::milli> limit = timeouts.delivery * (times > 1 ? times : 1);
    return std::chrono::ceil<std::chrono::milliseconds>(limit);
}

// No opening takes longer: with a second handshake where an earlier TLS session cannot be resumed, EHLO again after it,
// and a login of up to four steps.
inline std::chrono::milliseconds limit_of_opening(const Timeouts& timeouts)
{
    return 2 * (timeouts.resolve + timeouts.connect + timeouts.greeting + 3 * timeouts.ehlo + timeouts.tls +
                4 * timeouts.auth);
}

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
