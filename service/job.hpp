// A message that is decided: who sends it, and as whom. It waits for a connection.
#pragma once

#include "queue/content.hpp"
#include "queue/decision_store.hpp"
#include "queue/store.hpp"
#include "service/rules/resolve_sender.hpp"
#include "service/snapshot.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace mailroom {

struct Route;

struct Job {
    queue::Claimed claimed;
    std::string table_row;
    queue::DecisionId decision = 0;
    rules::Identity identity;
    std::shared_ptr<const Snapshot> snapshot{};     // identity points into it
    std::optional<queue::MessageContent> content{}; // none: large, read when it is sent
    Route* route = nullptr;                         // by which it goes
    int charged = 0;                                // recipients, of those granted to the route, once it has begun
    std::chrono::steady_clock::time_point expires = std::chrono::steady_clock::time_point::max(); // then it must not go

    bool is_suspect() const { return claimed.place == queue::suspects; }
};

} // namespace mailroom
