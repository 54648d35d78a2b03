// Why messages are decided as they are, for their stories: each text stands once in mailroom.decision.
#pragma once

#include "queue/pg/connection.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::queue {

using DecisionId = std::int64_t; // 0: none

struct RecordedDecision {
    DecisionId id = 0;
    std::string why; // JSON, an object (docs/explain.md)
};

// The first 64 bits of the SHA-256 of the text: whoever records the same gives it the same id.
DecisionId decision_id(std::string_view why);

pg::DbResult<void> record_decisions(pg::Connection& connection, const std::vector<RecordedDecision>& decisions);

} // namespace mailroom::queue
