// What became of an attempt to hand a message to a server: values only, the same for SMTP and Graph.
// Transports make them; service/rules/decide alone turns them into a transition of the queue.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom {

enum class Verdict {
    accepted,  // the server took responsibility (RFC 5321 section 6.1)
    try_again, // not delivered, may work later
    give_up,   // not delivered, will never work as it is
    in_doubt,  // the committing byte was written and no answer was read
};

// What the verdict is about: everything that shares it has the same trouble.
enum class Scope {
    recipient,
    message,
    sender_identity, // this From by this account
    account,
    server,
    dispatcher, // this process: no key, no network, no CA store
};

// What happened, where code must tell it apart from the rest of its scope.
enum class Cause {
    none,
    reply,               // the server said so; nothing special about it
    login_refused,       // 535 and its like: the credentials are wrong
    basic_login_ended,   // 550 5.7.30: Office 365 takes no passwords any more
    login_unavailable,   // no AUTH offered, none that we speak, or a login asked for that we have not got
    throttled,           // too many messages or connections
    quota,               // a day's or a month's limit of the account
    sender_refused,      // not allowed to send as this From
    too_large,           // SIZE, 552 5.3.4
    too_many_recipients, // 452 4.5.3: the rest at once in a new transaction
    needs_smtputf8,      // an address needs SMTPUTF8 and the server does not offer it
    name_not_found,
    connection_refused,
    connection_lost,
    timed_out,
    tls_failed,          // STARTTLS not offered or refused, or no handshake
    certificate,         // not trusted, expired, or of another host
    protocol_error,      // garbage, a reply out of place, bytes behind STARTTLS
    content_unavailable, // the content could not be read from the queue
    unrecorded,          // the journal does not take that it might be committed, so it was not
    stopped,             // handed back by a stop, before anything could have been committed
    expired,             // its time was over before anything could have been committed
};

// Where the attempt stood.
enum class Stage {
    resolve,
    connect,
    tls,
    greeting,
    ehlo,
    starttls,
    auth,
    mail_from,
    rcpt_to,
    data,
    content,
    final_dot,
    rset,
    idle
};

struct Outcome {
    Verdict verdict = Verdict::accepted;
    Scope scope = Scope::message;
    Cause cause = Cause::none;
    Stage stage = Stage::final_dot;
    int code = 0;         // of SMTP's reply or HTTP's status; 0: none was read
    std::string enhanced; // RFC 3463 status such as 5.7.1; empty: none
    std::string text;     // the server's words, or ours; printable UTF-8, at most 1,024 octets
    std::optional<std::chrono::seconds> retry_after; // the server's wish
};

struct Delivery {
    Outcome outcome;                 // of the transaction as a whole
    std::vector<Outcome> recipients; // in the envelope's order; empty: no recipient was tried, `outcome` holds for all
    std::string server;              // host:port that answered or should have
    bool reused_connection = false;
};

std::string_view to_string(Verdict verdict);
std::string_view to_string(Scope scope);
std::string_view to_string(Cause cause);
std::string_view to_string(Stage stage);

} // namespace mailroom
