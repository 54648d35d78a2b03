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
    // Kinds of messages that are remembered, and decisions that wait to be recorded: 1 to 2 KB each, ours. What is
    // decided beyond has no words in its story.
    static constexpr std::size_t most = 10'000;

    // From now on by these settings. Twice a day all that is decided counts as unrecorded again: what nobody recorded
    // for two days may be forgotten (forget_small.sql).
    void by(std::shared_ptr<const Snapshot> snapshot, std::chrono::steady_clock::time_point now);
    void record_anew(); // the database may be another, or have lost what was recorded

    struct Decided {
        rules::Decision decision; // points into the snapshot
        queue::DecisionId id = 0;
    };
    Decided on(const queue::Claimed& message); // once `by` was told

    bool has_unrecorded() const { return !unrecorded_.empty(); }
    std::vector<queue::RecordedDecision> take_unrecorded(std::size_t limit);
    void give_back(std::vector<queue::RecordedDecision> decisions); // they could not be recorded

private:
    const Decided& alike(const rules::Facts& facts);
    Decided decide(const rules::Facts& facts, const std::string& pinned, const rules::Knowledge& knowledge);

    std::shared_ptr<const Snapshot> snapshot_;
    std::map<rules::Facts, Decided> alike_;
    std::set<queue::DecisionId> known_; // recorded, or about to be
    std::map<queue::DecisionId, std::string> unrecorded_;
    std::chrono::steady_clock::time_point recorded_since_;
};

} // namespace mailroom
