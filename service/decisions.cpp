#include "service/decisions.hpp"

#include "service/outgoing.hpp"

#include <boost/json/serialize.hpp>

#include <optional>
#include <utility>

namespace mailroom {
namespace {

constexpr auto recorded_anew_after = std::chrono::hours(12); // ours

std::optional<rules::Hold> changed(const std::string& pinned, const rules::Identity& identity)
{
    if (const auto before = pinned_from(pinned))
        return rules::identity_changed(*before, identity);
    return rules::Hold{rules::HoldReason::identity_changed, {{rules::Subject::Kind::message, 0, {}, "unreadable"}}};
}

} // namespace

explain::Explained decide_sender(const rules::Facts& facts, const std::string& pinned, const MailSettings& settings,
                                 const rules::Knowledge& knowledge)
{
    explain::Explained explained = explain::explain(facts, settings, knowledge);
    if (pinned.empty() || explained.decision.identity() == nullptr)
        return explained;
    if (auto hold = changed(pinned, *explained.decision.identity())) {
        explained.trace.steps.push_back(
            {10, "it went out before, or may have: From and Sender stay", {}, "held: " + describe(*hold)});
        explained.decision.answer = *std::move(hold);
    }
    return explained;
}

void Decisions::by(std::shared_ptr<const Snapshot> snapshot, std::chrono::steady_clock::time_point now)
{
    if (snapshot_ != snapshot) {
        alike_.clear();
        snapshot_ = std::move(snapshot);
    }
    if (now - recorded_since_ >= recorded_anew_after) {
        record_anew();
        recorded_since_ = now;
    }
}

void Decisions::record_anew()
{
    alike_.clear();
    known_.clear();
}

Decisions::Decided Decisions::on(const queue::Claimed& message)
{
    const rules::Facts facts = facts_of(message);
    if (const auto trial = snapshot_->trials.find(message.uid); trial != snapshot_->trials.end())
        return decide(facts, message.pinned, trial->second);
    const Decided& free = alike(facts);
    const rules::Identity* const identity = free.decision.identity();
    if (message.pinned.empty() || identity == nullptr || !changed(message.pinned, *identity))
        return free;
    return decide(facts, message.pinned, snapshot_->knowledge);
}

const Decisions::Decided& Decisions::alike(const rules::Facts& facts)
{
    rules::Facts key = facts;
    if (facts.user && snapshot_->settings.users.contains(*facts.user))
        key.user_code.clear(); // however it was written
    if (const auto known = alike_.find(key); known != alike_.end())
        return known->second;
    if (alike_.size() >= most)
        alike_.clear();
    return alike_.emplace(std::move(key), decide(facts, {}, snapshot_->knowledge)).first->second;
}

Decisions::Decided Decisions::decide(const rules::Facts& facts, const std::string& pinned,
                                     const rules::Knowledge& knowledge)
{
    explain::Explained explained = decide_sender(facts, pinned, snapshot_->settings, knowledge);
    std::string why = boost::json::serialize(explain::to_json(explained));
    const queue::DecisionId id = queue::decision_id(why);
    if (known_.size() >= most)
        known_.clear();
    if (unrecorded_.size() < most && known_.insert(id).second)
        unrecorded_.emplace(id, std::move(why));
    return {std::move(explained.decision), id};
}

std::vector<queue::RecordedDecision> Decisions::take_unrecorded(std::size_t limit)
{
    std::vector<queue::RecordedDecision> taken;
    while (!unrecorded_.empty() && taken.size() < limit) {
        auto node = unrecorded_.extract(unrecorded_.begin());
        taken.push_back({node.key(), std::move(node.mapped())});
    }
    return taken;
}

void Decisions::give_back(std::vector<queue::RecordedDecision> decisions)
{
    for (queue::RecordedDecision& decision : decisions)
        unrecorded_.emplace(decision.id, std::move(decision.why));
}

} // namespace mailroom
