// Who sends each message, and as whom, by one reading of the settings; and why, in words that are kept once for all
// messages that are decided alike.
#pragma once

#include "queue/decision_store.hpp"
#include "queue/store.hpp"
#include "service/explain/answer.hpp"
#include "service/snapshot.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace mailroom {

// Step by step. pinned: as queue::Claimed has it; one that cannot be read is no reason to send as somebody else.
explain::Explained decide_sender(const rules::Facts& facts, const std::string& pinned, const MailSettings& settings,
                                 const rules::Knowledge& knowledge);

class Decisions {
public:
    static constexpr std::size_t most_alike = 10'000; // kinds of messages that are remembered, about 2 KB each, ours

    // From now on by these settings. After half a day what is decided is recorded anew, so that nobody takes it for
    // forgotten (forget_small.sql).
    void by(std::shared_ptr<const Snapshot> snapshot, std::chrono::steady_clock::time_point now);

    struct Decided {
        rules::Decision decision; // points into the snapshot
        queue::DecisionId why = 0;
    };
    Decided on(const queue::Claimed& message); // once `by` was told

    // What is to be recorded before anybody looks it up.
    const std::vector<queue::Why>& unrecorded() const { return unrecorded_; }
    void recorded() { unrecorded_.clear(); }

private:
    Decided decide(const rules::Facts& facts, const std::string& pinned);

    std::shared_ptr<const Snapshot> snapshot_;
    std::chrono::steady_clock::time_point since_;
    std::map<rules::Facts, Decided> alike_;
    std::set<queue::DecisionId> known_; // recorded, or about to be
    std::vector<queue::Why> unrecorded_;
};

} // namespace mailroom
