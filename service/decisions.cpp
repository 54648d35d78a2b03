#include "service/decisions.hpp"

#include "service/outgoing.hpp"

#include <boost/json/serialize.hpp>

#include <optional>
#include <utility>

namespace mailroom {
namespace {

constexpr auto recorded_anew_after = std::chrono::hours(12); // ours

} // namespace

explain::Explained decide_sender(const rules::Facts& facts, const std::string& pinned, const MailSettings& settings,
                                 const rules::Knowledge& knowledge)
{
    explain::Explained explained = explain::explain(facts, settings, knowledge);
    if (pinned.empty() || explained.decision.identity() == nullptr)
        return explained;
    const auto identity = pinned_from(pinned);
    auto changed = identity ? rules::identity_changed(*identity, *explained.decision.identity())
                            : std::optional(rules::Hold{rules::HoldReason::identity_changed,
                                                        {{rules::Subject::Kind::message, 0, {}, "unreadable"}}});
    if (changed) {
        explained.trace.steps.push_back(
            {10, "it went out before, or may have: From and Sender stay", {}, "held: " + describe(*changed)});
        explained.decision.answer = *std::move(changed);
    }
    return explained;
}

void Decisions::by(std::shared_ptr<const Snapshot> snapshot, std::chrono::steady_clock::time_point now)
{
    if (snapshot_ == snapshot && now - since_ < recorded_anew_after)
        return;
    alike_.clear();
    known_.clear();
    snapshot_ = std::move(snapshot);
    since_ = now;
}

Decisions::Decided Decisions::on(const queue::Claimed& message)
{
    const rules::Facts facts = facts_of(message);
    if (!message.pinned.empty())
        return decide(facts, message.pinned);
    const auto known = alike_.find(facts);
    if (known != alike_.end())
        return known->second;
    if (alike_.size() >= most_alike) {
        alike_.clear();
        known_.clear();
    }
    return alike_.emplace(facts, decide(facts, {})).first->second;
}

Decisions::Decided Decisions::decide(const rules::Facts& facts, const std::string& pinned)
{
    explain::Explained explained = decide_sender(facts, pinned, snapshot_->settings, snapshot_->knowledge);
    std::string json = boost::json::serialize(explain::to_json(explained));
    const queue::DecisionId id = queue::decision_id(json);
    if (known_.insert(id).second)
        unrecorded_.push_back({id, std::move(json)});
    return {std::move(explained.decision), id};
}

} // namespace mailroom
