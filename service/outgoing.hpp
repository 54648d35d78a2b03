// From a claimed message to what a transport carries, and from a judgement back to what the queue stores. Pure.
#pragma once

#include "queue/content.hpp"
#include "queue/store.hpp"
#include "service/rules/classify.hpp"
#include "service/rules/decide.hpp"
#include "service/rules/resolve_sender.hpp"
#include "transport/mime/message.hpp"
#include "transport/outcome.hpp"
#include "transport/smtp/transaction.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mailroom {

rules::Facts facts_of(const queue::Claimed& claimed);

// Who is in this attempt's envelope: recipients that are open; where none is, those in doubt. An address stands in it
// once. Whether the message takes SMTPUTF8 depends on all that the header names, not on who is left.
struct Addressing {
    smtp::Envelope envelope;
    std::vector<int> positions; // of the envelope's recipients in the producer's list
    bool served_before = false;
    bool refused_before = false;
    bool doubtful_before = false; // and not in this envelope
};
std::optional<Addressing> addressing_of(const queue::MessageContent& content,
                                        const rules::Identity& identity); // none: nobody is left

// The message to compose. Its views point into `claimed`, `content` and `message_id`.
Result<mime::Message> message_of(const queue::Claimed& claimed, const queue::MessageContent& content,
                                 const rules::Identity& identity, const std::string& message_id);

// After this the message is not sent any more. asked: when the claim began. max_age: of the policy.
std::chrono::steady_clock::time_point expiry_of(const queue::Claimed& claimed, std::chrono::milliseconds max_age,
                                                std::chrono::steady_clock::time_point asked);

// The identity as it is kept once it must not change any more.
std::string to_json(const rules::PinnedIdentity& pinned);
std::optional<rules::PinnedIdentity> pinned_from(const std::string& text); // JSON

struct Attempted {
    std::string table_row;
    const rules::Identity* identity = nullptr; // null: nobody was found who could send it
    std::optional<std::chrono::system_clock::time_point> started_at{};
    const Delivery* delivery = nullptr; // null: nothing was tried
    const Addressing* addressing = nullptr;
    std::string_view subject{}; // for the log
    queue::DecisionId decision = 0;
};

// What the queue stores. place: of the hold, where the judgement holds the message or leaves it in doubt; of the route,
// where the account is in trouble: the message waits there as long as the account is blocked.
using Record = std::variant<queue::Ending, queue::Suspension>;
Record record_of(const queue::Claimed& claimed, const Attempted& attempted, const rules::Judgement& judgement,
                 queue::PlaceId place);

queue::PlaceOfHold place_of_hold(const rules::Hold& hold);
rules::Hold doubt_hold();      // the one place where messages in doubt wait for an operator
rules::Hold quarantine_hold(); // and that of those whose dispatcher died three times

} // namespace mailroom
