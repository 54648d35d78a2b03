#include "service/journal/inheritance.hpp"

#include "config/text.hpp"

#include "service/journal/memory.hpp"
#include "service/log.hpp"
#include "service/outgoing.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mailroom {

pg::DbResult<journal::Replay> Inheritance::take(pg::Connection& connection) const
{
    if (folder_.empty())
        return journal::Replay();
    auto doubt = queue::place_of(connection, place_of_hold(doubt_hold()));
    if (!doubt)
        return doubt.error();
    return journal::replay(connection, folder_, *doubt);
}

pg::DbResult<std::string> Inheritance::proof_of_restore(pg::Connection& connection) const
{
    if (folder_.empty())
        return std::string();
    auto proof = journal::proof_of_restore(connection, folder_);
    if (proof && !proof->empty())
        return "the database was restored from an older backup: " + *proof;
    return proof;
}

void Inheritance::tell(const journal::Replay& replay)
{
    for (const auto& one : replay.done) {
        std::string text =
            fmt::format("the journal of dispatcher {}, which died, had {} and {} whose outcome nobody knows",
                        one.dispatcher, count_of(static_cast<std::int64_t>(one.outcomes), "outcome"),
                        count_of(static_cast<std::int64_t>(one.begun), "message"));
        if (one.was_late)
            text += "; others had taken its messages before";
        else if (!one.is_complete)
            text +=
                "; all else that it had is in doubt too, because the machine itself went down or the journal has gaps";
        log::info("journal_replayed", "{}", text);
    }
    if (replay.problems.empty())
        events_.end(rules::EventKind::journal_unreadable, folder_);
    else
        events_.raise({rules::EventKind::journal_unreadable,
                       folder_,
                       fmt::format("a journal cannot be read: {}", fmt::join(replay.problems, "; ")),
                       {}});
}

} // namespace mailroom
