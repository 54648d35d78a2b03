// What a refusal or a lost link means: verdict, scope and cause, by a table of what servers are known to say. Pure.
// It says nothing of the transaction's state: that a lost reply to the final dot leaves a doubt is transaction.hpp's.
#pragma once

#include "transport/outcome.hpp"
#include "transport/smtp/reply.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::smtp {

// Of a reply that did not do what the command of this stage asked.
Outcome classify(Stage stage, const Reply& reply);

// How a link failed.
struct Loss {
    Cause cause = Cause::connection_lost; // or name_not_found, connection_refused, timed_out, tls_failed, certificate,
                                          // protocol_error, content_unavailable, unrecorded, stopped, expired
    std::string text;
};

// Before anything could have been committed: always try_again.
Outcome outcome_of(const Loss& loss, Stage stage);

// "try again in 300 seconds", "5 minutes", "1 hour": how long the server wants us to wait; at most a day.
std::optional<std::chrono::seconds> wish_in(std::string_view text);

} // namespace mailroom::smtp
