// What an outcome means for the message and for everything that shares its trouble: the one place of judgement.
#pragma once

#include "service/rules/hold.hpp"
#include "service/rules/resolve_sender.hpp"
#include "transport/outcome.hpp"

#include <chrono>
#include <optional>
#include <variant>
#include <vector>

namespace mailroom::rules {

struct Policy {
    enum class Doubt { resend_once, hold };
    Doubt doubt = Doubt::resend_once;
    std::chrono::milliseconds resend_after = std::chrono::minutes(15); // of a message in doubt
    int max_attempts = 20;                                             // ours: 56 hours of back-off
    // Of being put off, counted or not; 0: no limit. RFC 5321 section 4.5.4.1: the give-up time generally needs to be
    // at least 4 to 5 days.
    std::chrono::milliseconds max_age = std::chrono::days(5);
};

// What the queue knows of the message when the outcome comes in.
struct History {
    int attempts = 0;             // that used up a try, this one not included
    int deferrals = 0;            // that used up none: only their own delays grow by them
    int doubts = 0;               // how often it was in doubt, this time not included
    int recipients = 1;           // in this attempt's envelope, at least 1
    bool served_before = false;   // an earlier attempt served a recipient
    bool refused_before = false;  // an earlier attempt lost a recipient for good
    bool doubtful_before = false; // an earlier attempt left a recipient in doubt, and it still is
};

enum class RecipientState { open, accepted, refused, in_doubt };

// The transitions. Each is applied only where the lease still holds.
struct Completed {
    enum class End { sent, partly_sent, failed };
    End end = End::sent;
};
struct RetryAt {
    std::chrono::milliseconds delay{};
    bool counted = true; // uses up a try
};
struct Held {
    Hold hold;
};
struct InDoubt {
    std::optional<std::chrono::milliseconds> resend_after; // none: held for an operator
};

using Transition = std::variant<Completed, RetryAt, Held, InDoubt>;

// What the outcome says of others than this message.
enum class Consequence {
    none,
    login_refused,      // pause the account for all dispatchers: auth_failed
    basic_login_ended,  // the same, with that reason
    sender_refused,     // stop this pair of account and From
    account_troubled,   // nothing goes by this account for as long as the message waits
    dispatcher_troubled // this process stops claiming for a while
};

struct Judgement {
    Transition transition;
    Consequence consequence = Consequence::none;
    std::vector<RecipientState> recipients; // in the envelope's order; empty: all as the transition says
};

Judgement decide(const Delivery& delivery, const Identity& identity, const History& history, const Policy& policy,
                 double chance);

// A refusal to resolve skips delivery and is judged here as well.
Judgement decide(const Hold& hold);

} // namespace mailroom::rules
