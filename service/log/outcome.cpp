#include "service/log/outcome.hpp"

#include "service/rules/classify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mailroom::log {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

std::int64_t between(system_clock::time_point from, system_clock::time_point to) // never negative: clocks differ
{
    return std::max<std::int64_t>(0, std::chrono::duration_cast<milliseconds>(to - from).count());
}

void add(Fields& fields, std::string_view name, std::string value)
{
    if (!value.empty())
        fields.push_back({name, std::move(value)});
}

// "550 5.1.1 User unknown"
std::string reply_of(const queue::AttemptRecord& attempt)
{
    std::string reply = attempt.code != 0 ? std::to_string(attempt.code) : "";
    for (const std::string& part : {attempt.enhanced, attempt.reply})
        if (!part.empty())
            reply += (reply.empty() ? "" : " ") + part;
    return reply;
}

// Of those whom this attempt lost for good.
std::string refused_of(const Attempted& attempted, const rules::Judgement& judgement)
{
    std::string refused;
    std::size_t count = 0;
    if (attempted.addressing == nullptr)
        return refused;
    const auto& recipients = attempted.addressing->envelope.recipients;
    for (std::size_t i = 0; i < std::min(recipients.size(), judgement.recipients.size()); ++i) {
        if (judgement.recipients[i] != rules::RecipientState::refused)
            continue;
        if (++count <= most_refused)
            refused += (refused.empty() ? "" : ", ") + recipients[i].str();
    }
    if (count > most_refused)
        refused += fmt::format(" and {} more", count - most_refused);
    return refused;
}

} // namespace

std::string_view outcome_of(const Record& record)
{
    if (const auto* ending = std::get_if<queue::Ending>(&record))
        return ending->outcome;
    return std::get<queue::Suspension>(record).event;
}

Fields fields_of(const queue::Claimed& claimed, const Attempted& attempted, const rules::Judgement& judgement,
                 const Record& record, system_clock::time_point now)
{
    const auto* const suspension = std::get_if<queue::Suspension>(&record);
    const queue::AttemptRecord& attempt =
        suspension != nullptr ? suspension->attempt : std::get<queue::Ending>(record).attempt;
    Fields fields;
    fields.reserve(14);
    add(fields, "uid", claimed.uid);
    add(fields, "category", std::string(to_string(rules::classify(facts_of(claimed)))));
    add(fields, "row", attempt.table_row);
    add(fields, "user", claimed.user_code);
    add(fields, "account", attempt.account);
    add(fields, "from", attempt.from);
    fields.push_back({"recipients", std::int64_t{claimed.recipients}});
    add(fields, "refused", refused_of(attempted, judgement));
    add(fields, "server", attempt.server);
    add(fields, "reply", reply_of(attempt));
    fields.push_back({"waited_ms", between(claimed.enqueued_at, attempted.started_at.value_or(now))});
    if (attempted.started_at)
        fields.push_back({"took_ms", between(*attempted.started_at, now)});
    if (suspension != nullptr)
        add(fields, "note", suspension->note);
    add(fields, "subject", std::string(attempted.subject));
    return fields;
}

} // namespace mailroom::log
