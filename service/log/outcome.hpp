// What the log says of a message once an attempt, or the decision that there is none, is to be stored: one line, its id
// the outcome. Pure.
#pragma once

#include "service/log/line.hpp"
#include "service/outgoing.hpp"

#include <chrono>
#include <string_view>

namespace mailroom::log {

inline constexpr std::size_t most_refused = 5; // addresses in a line, ours; the story has them all

std::string_view outcome_of(const Record& record); // sent, deferred, held ...; lives as long as the record

// uid, category and so on; what there is none of (an account, where nobody can send it) is left out. waited_ms: from
// enqueueing to this attempt, by two clocks where the database is elsewhere; took_ms: the attempt.
Fields fields_of(const queue::Claimed& claimed, const Attempted& attempted, const rules::Judgement& judgement,
                 const Record& record, std::chrono::system_clock::time_point now);

} // namespace mailroom::log
