#include "service/outgoing.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace mailroom {
namespace {

namespace json = boost::json;

rules::RecipientState state_of(const queue::MessageContent& content, int position)
{
    const auto known = content.results.find(position);
    return known == content.results.end() ? rules::RecipientState::open
                                          : static_cast<rules::RecipientState>(known->second);
}

queue::AttemptRecord attempt_record(const Attempted& attempted)
{
    queue::AttemptRecord record;
    record.table_row = attempted.table_row;
    record.decision = attempted.decision;
    record.started_at = attempted.started_at;
    if (attempted.identity != nullptr) {
        const rules::Identity& identity = *attempted.identity;
        record.account = identity.paired_as;
        record.from = to_string(identity.from);
        record.sender = identity.sender ? identity.sender->written() : "";
        record.envelope_sender = identity.envelope_sender.written();
    }
    if (attempted.delivery != nullptr) {
        const Outcome& outcome = attempted.delivery->outcome;
        record.server = attempted.delivery->server;
        record.stage = to_string(outcome.stage);
        record.code = outcome.code;
        record.enhanced = outcome.enhanced;
        record.reply = outcome.text;
    }
    return record;
}

// Only where the recipients did not all fare as the message did.
std::vector<queue::RecipientRecord> recipient_records(const Attempted& attempted, const rules::Judgement& judgement)
{
    std::vector<queue::RecipientRecord> records;
    if (attempted.addressing == nullptr || attempted.delivery == nullptr)
        return records;
    for (std::size_t i = 0; i < judgement.recipients.size() && i < attempted.addressing->positions.size(); ++i) {
        const auto& recipients = attempted.delivery->recipients;
        const Outcome& outcome = i < recipients.size() && recipients[i].verdict != Verdict::accepted
                                     ? recipients[i]
                                     : attempted.delivery->outcome;
        records.push_back({attempted.addressing->positions[i], static_cast<int>(judgement.recipients[i]), outcome.code,
                           outcome.enhanced, outcome.text});
    }
    return records;
}

bool any_served(const rules::Judgement& judgement)
{
    return std::ranges::any_of(judgement.recipients, [](rules::RecipientState state) {
        return state == rules::RecipientState::accepted || state == rules::RecipientState::in_doubt;
    });
}

std::string_view outcome_name(rules::Completed::End end)
{
    switch (end) {
    case rules::Completed::End::sent:
        return "sent";
    case rules::Completed::End::partly_sent:
        return "partly_sent";
    case rules::Completed::End::failed:
        return "failed";
    }
    return "failed";
}

Result<void> add_options(mime::Message& message, const queue::MessageContent& content)
{
    if (!content.priority.empty()) {
        auto priority = mime::priority_from(content.priority);
        if (!priority)
            return Error{"the priority: " + priority.error().text};
        message.priority = *priority;
    }
    if (content.calendar) {
        auto method = mime::CalendarMethod::make(content.calendar->method);
        if (!method)
            return Error{"the calendar: " + method.error().text};
        message.calendar = {*std::move(method), content.calendar->content};
    }
    if (content.unsubscribe) {
        auto url = mime::HttpsUrl::make(content.unsubscribe->url);
        if (!url)
            return Error{"the link to unsubscribe: " + url.error().text};
        message.unsubscribe = {*std::move(url), content.unsubscribe->mailto};
    }
    return {};
}

// Of the addresses that message_of puts into the header. That of Unsubscribe stands there in a link, percent-encoded.
std::optional<MailAddress> in_header_beyond_ascii(const queue::MessageContent& content, const rules::Identity& identity)
{
    if (identity.from.address.needs_smtputf8())
        return identity.from.address;
    if (identity.sender && identity.sender->needs_smtputf8())
        return identity.sender;
    for (const auto& address : content.reply_to) {
        if (address.address.needs_smtputf8())
            return address.address;
    }
    for (const auto& recipient : content.recipients) {
        if (recipient.kind != queue::StoredRecipient::Kind::bcc && recipient.address.address.needs_smtputf8())
            return recipient.address.address;
    }
    return std::nullopt;
}

} // namespace

rules::Facts facts_of(const queue::Claimed& claimed)
{
    return {claimed.mobile ? rules::Source::mobile : rules::Source::erp,
            claimed.user_id,
            claimed.user_code,
            claimed.row_id,
            claimed.model_id,
            claimed.addressed};
}

std::optional<Addressing> addressing_of(const queue::MessageContent& content, const rules::Identity& identity)
{
    Addressing addressing{{identity.envelope_sender, {}, in_header_beyond_ascii(content, identity)}, {}};
    std::set<std::string> taken; // a second copy of an address shares the fate of the first
    const auto address_at = [&](std::size_t i) { return ascii_lower(content.recipients[i].address.address.str()); };
    for (const auto& [position, number] : content.results) {
        const auto state = static_cast<rules::RecipientState>(number);
        addressing.served_before |= state == rules::RecipientState::accepted;
        addressing.refused_before |= state == rules::RecipientState::refused;
        addressing.doubtful_before |= state == rules::RecipientState::in_doubt;
        if (state != rules::RecipientState::open && static_cast<std::size_t>(position) < content.recipients.size())
            taken.insert(address_at(static_cast<std::size_t>(position)));
    }
    const auto collect = [&](rules::RecipientState wanted) {
        for (std::size_t i = 0; i < content.recipients.size(); ++i) {
            if (state_of(content, static_cast<int>(i)) != wanted || !taken.insert(address_at(i)).second)
                continue;
            addressing.envelope.recipients.push_back(content.recipients[i].address.address);
            addressing.positions.push_back(static_cast<int>(i));
        }
    };
    collect(rules::RecipientState::open);
    if (addressing.positions.empty()) {
        taken.clear();
        collect(rules::RecipientState::in_doubt);
        addressing.doubtful_before = false;
    }
    if (addressing.positions.empty())
        return std::nullopt;
    return addressing;
}

Result<mime::Message> message_of(const queue::Claimed& claimed, const queue::MessageContent& content,
                                 const rules::Identity& identity, const std::string& message_id)
{
    if (!content.problem.empty())
        return Error{content.problem};
    mime::Message message{.uid = claimed.uid,
                          .message_id = message_id,
                          .date = std::chrono::floor<std::chrono::seconds>(claimed.dated_at),
                          .from = identity.from,
                          .sender = identity.sender,
                          .to = {},
                          .cc = {},
                          .reply_to = content.reply_to,
                          .subject = content.subject,
                          .priority = mime::Priority::normal,
                          .unsubscribe = std::nullopt,
                          .headers = content.headers,
                          .text = content.text,
                          .html = content.html,
                          .calendar = std::nullopt,
                          .attachments = {}};
    if (auto added = add_options(message, content); !added)
        return added.error();
    for (const auto& recipient : content.recipients) {
        if (recipient.kind == queue::StoredRecipient::Kind::to)
            message.to.push_back(recipient.address);
        else if (recipient.kind == queue::StoredRecipient::Kind::cc)
            message.cc.push_back(recipient.address);
    }
    for (const auto& stored : content.attachments) {
        auto type = mime::MediaType::make(stored.media_type);
        if (!type)
            return Error{"an attachment's type: " + type.error().text};
        std::optional<mime::ContentId> content_id;
        if (!stored.content_id.empty()) {
            auto made = mime::ContentId::make(stored.content_id);
            if (!made)
                return Error{"an attachment's content id: " + made.error().text};
            content_id = *std::move(made);
        }
        message.attachments.push_back(
            {stored.name, *std::move(type), std::move(content_id), static_cast<std::uint64_t>(stored.size)});
    }
    return message;
}

std::chrono::steady_clock::time_point expiry_of(const queue::Claimed& claimed, std::chrono::milliseconds max_age,
                                                std::chrono::steady_clock::time_point asked)
{
    auto expiry = std::chrono::steady_clock::time_point::max();
    if (claimed.expires_in)
        expiry = asked + *claimed.expires_in;
    if (claimed.put_off_for && max_age.count() > 0)
        expiry = std::min(expiry, asked + (max_age - *claimed.put_off_for));
    return expiry;
}

std::string to_json(const rules::PinnedIdentity& pinned)
{
    json::object object{{"name", pinned.from.name.str()}, {"from", pinned.from.address.written()}};
    if (pinned.sender)
        object.emplace("sender", pinned.sender->written());
    return json::serialize(object);
}

std::optional<rules::PinnedIdentity> pinned_from(const std::string& text)
{
    boost::system::error_code ec;
    const json::value value = json::parse(text, ec);
    if (ec || !value.is_object())
        return std::nullopt;
    const auto text_at = [&](const char* key) {
        const json::value* found = value.get_object().if_contains(key);
        return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
    };
    auto name = HeaderText::make(text_at("name"));
    auto from = MailAddress::parse(text_at("from"));
    auto sender = MailAddress::parse(text_at("sender"));
    if (!name || !from || (!sender && !text_at("sender").empty()))
        return std::nullopt;
    rules::PinnedIdentity pinned{{*std::move(name), *std::move(from)}, std::nullopt};
    if (sender)
        pinned.sender = *std::move(sender);
    return pinned;
}

Record record_of(const queue::Claimed& claimed, const Attempted& attempted, const rules::Judgement& judgement,
                 queue::PlaceId place)
{
    if (const auto* completed = std::get_if<rules::Completed>(&judgement.transition)) {
        queue::Ending ending{claimed.id,
                             claimed.uid,
                             claimed.lease_no,
                             std::string(outcome_name(completed->end)),
                             1,
                             attempt_record(attempted),
                             {}};
        ending.results = recipient_records(attempted, judgement);
        return ending;
    }
    queue::Suspension suspension;
    suspension.id = claimed.id;
    suspension.uid = claimed.uid;
    suspension.lease_no = claimed.lease_no;
    suspension.attempt = attempt_record(attempted);
    suspension.results = recipient_records(attempted, judgement);
    if (const auto* retry = std::get_if<rules::RetryAt>(&judgement.transition)) {
        const bool stopped = attempted.delivery != nullptr && attempted.delivery->outcome.cause == Cause::stopped;
        suspension.event = stopped ? "returned" : "deferred";
        suspension.place = place;
        suspension.delay = place == queue::unsorted ? retry->delay : std::chrono::milliseconds(0);
        suspension.counted = retry->counted ? 1 : 0;
        suspension.note =
            fmt::format("next attempt in {} s{}", std::chrono::ceil<std::chrono::seconds>(retry->delay).count(),
                        retry->counted ? "" : ", this one does not count");
        if (attempted.delivery != nullptr && attempted.delivery->outcome.cause == Cause::expired)
            suspension.note = "its time is over: it is not sent any more";
    } else if (const auto* held = std::get_if<rules::Held>(&judgement.transition)) {
        suspension.event = "held";
        suspension.place = place;
        suspension.note = rules::describe(held->hold) + ": " + rules::remedy(held->hold);
    } else {
        const auto& doubt = std::get<rules::InDoubt>(judgement.transition);
        suspension.event = "in_doubt";
        suspension.doubtful = true;
        suspension.place = doubt.resend_after ? queue::unsorted : place;
        suspension.delay = doubt.resend_after.value_or(std::chrono::milliseconds(0));
        suspension.note = doubt.resend_after
                              ? fmt::format("resent once in {} s, as a possible duplicate",
                                            std::chrono::ceil<std::chrono::seconds>(*doubt.resend_after).count())
                              : "held for an operator";
    }
    const bool served_before = attempted.addressing != nullptr && attempted.addressing->served_before;
    if (attempted.identity != nullptr && claimed.pinned.empty() &&
        (suspension.doubtful || claimed.doubts > 0 || served_before || any_served(judgement)))
        suspension.pinned = to_json(rules::PinnedIdentity{attempted.identity->from, attempted.identity->sender});
    return suspension;
}

queue::PlaceOfHold place_of_hold(const rules::Hold& hold)
{
    std::string subject;
    for (const auto& item : hold.subjects)
        subject += (subject.empty() ? "" : "; ") + rules::describe(item);
    return {rules::place_key(hold), std::string(rules::to_string(hold.reason)), subject, rules::remedy(hold),
            rules::owners(hold),    rules::ends_with_settings(hold.reason)};
}

rules::Hold doubt_hold()
{
    return {rules::HoldReason::in_doubt, {rules::Subject{rules::Subject::Kind::message, 0, {}, {}}}};
}

rules::Hold quarantine_hold()
{
    return {rules::HoldReason::quarantined, {rules::Subject{rules::Subject::Kind::message, 0, {}, {}}}};
}

} // namespace mailroom
