#include "service/journal/replay.hpp"

#include "config/crash_point.hpp"

#include "service/host/locked_file.hpp"
#include "service/journal/file_journal.hpp"
#include "service/journal/lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

namespace mailroom::journal {
namespace {

constexpr int tries_of_busy = 10; // of rows that somebody has locked, 100 ms apart; then the next replay does it

using Texts = std::vector<std::string_view>;

// Calls write(batch) for at most max_batch objects at a time.
template <class Write>
pg::DbResult<void> in_batches(const Texts& all, Write write)
{
    for (std::size_t at = 0; at < all.size(); at += queue::max_batch) {
        const auto end = std::min<std::size_t>(at + queue::max_batch, all.size());
        if (pg::DbResult<void> done = write(
                Texts(all.begin() + static_cast<std::ptrdiff_t>(at), all.begin() + static_cast<std::ptrdiff_t>(end)));
            !done)
            return done;
    }
    return {};
}

// Writes outcomes; what is neither done nor busy comes too late.
template <class Write>
pg::DbResult<bool> write_outcomes(const std::vector<std::pair<queue::MessageId, std::string_view>>& outcomes,
                                  Write write, Texts& late)
{
    auto left = outcomes;
    for (int tries = 0; !left.empty() && tries < tries_of_busy; ++tries) {
        if (tries > 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        std::vector<std::pair<queue::MessageId, std::string_view>> busy;
        for (std::size_t at = 0; at < left.size(); at += queue::max_batch) {
            const auto end = std::min<std::size_t>(at + queue::max_batch, left.size());
            Texts batch;
            for (std::size_t i = at; i < end; ++i)
                batch.push_back(left[i].second);
            auto written = write(batch);
            if (!written)
                return written.error();
            for (std::size_t i = at; i < end; ++i) {
                if (written->busy.contains(left[i].first))
                    busy.push_back(left[i]);
                else if (!written->done.contains(left[i].first))
                    late.push_back(left[i].second);
            }
        }
        left = std::move(busy);
    }
    return left.empty();
}

struct Sorted {
    std::vector<std::pair<queue::MessageId, std::string_view>> endings;
    std::map<std::int64_t, std::vector<std::pair<queue::MessageId, std::string_view>>> suspensions; // by version
    std::vector<queue::Mark> marks;
    int begun = 0;
};

Sorted sorted(const Recollection& recollection)
{
    Sorted result;
    for (const auto& [lease, message] : recollection.messages) {
        switch (message.outcome) {
        case Remembered::Outcome::ended:
            result.endings.emplace_back(lease.first, message.json);
            break;
        case Remembered::Outcome::put_back:
            result.suspensions[message.settings_version].emplace_back(lease.first, message.json);
            break;
        case Remembered::Outcome::none:
            result.marks.push_back({lease.first, lease.second, message.is_begun, message.resend_after});
            result.begun += message.is_begun ? 1 : 0;
            break;
        }
    }
    return result;
}

// False: somebody has a row locked, the next time will do.
pg::DbResult<bool> write_what_is_known(pg::Connection& connection, const Recollection& recollection,
                                       const Sorted& known, Texts& late)
{
    const queue::DispatcherId dispatcher = recollection.header.dispatcher;
    auto ended = write_outcomes(
        known.endings, [&](const Texts& batch) { return queue::complete(connection, dispatcher, batch); }, late);
    if (!ended || !*ended)
        return ended;
    crash_point("replay.ended");
    for (const auto& [version, suspensions] : known.suspensions) {
        auto put_back = write_outcomes(
            suspensions,
            [&, version = version](const Texts& batch) {
                return queue::suspend(connection, dispatcher, version, batch);
            },
            late);
        if (!put_back || !*put_back)
            return put_back;
    }
    auto left = known.marks;
    for (int tries = 0; !left.empty() && tries < tries_of_busy; ++tries) {
        if (tries > 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        std::vector<queue::Mark> busy;
        for (std::size_t at = 0; at < left.size(); at += queue::max_batch) {
            const auto end = std::min<std::size_t>(at + queue::max_batch, left.size());
            const std::vector<queue::Mark> batch(left.begin() + static_cast<std::ptrdiff_t>(at),
                                                 left.begin() + static_cast<std::ptrdiff_t>(end));
            auto marked = queue::mark(connection, dispatcher, batch);
            if (!marked)
                return marked.error();
            std::ranges::copy_if(batch, std::back_inserter(busy),
                                 [&](const queue::Mark& mark) { return marked->busy.contains(mark.id); });
        }
        left = std::move(busy);
    }
    return left.empty();
}

Texts all_outcomes(const Recollection& recollection)
{
    Texts outcomes;
    for (const auto& [lease, message] : recollection.messages) {
        if (message.outcome != Remembered::Outcome::none)
            outcomes.push_back(message.json);
    }
    return outcomes;
}

// None: somebody has a row locked, the next time will do.
pg::DbResult<std::optional<Replayed>> replay_one(pg::Connection& connection, const Recollection& recollection,
                                                 bool is_whole, queue::PlaceId doubt)
{
    const Header& header = recollection.header;
    const Sorted known = sorted(recollection);
    Replayed replayed;
    replayed.dispatcher = header.dispatcher;
    replayed.begun = known.begun;
    // What was not synced may be missing after the machine went down: then no message is known not to have begun.
    replayed.is_complete = is_whole && (header.is_synced || header.boot == host::boot_id());
    auto listed = queue::is_listed(connection, header.dispatcher, header.token);
    if (!listed)
        return listed.error();
    replayed.was_late = !*listed;
    Texts late;
    if (replayed.was_late) {
        late = all_outcomes(recollection);
    } else {
        auto written = write_what_is_known(connection, recollection, known, late);
        if (!written)
            return written.error();
        if (!*written)
            return std::optional<Replayed>();
    }
    replayed.outcomes = static_cast<int>(recollection.messages.size() - known.marks.size());
    const auto kept = in_batches(late, [&](const Texts& batch) { return queue::keep_late(connection, batch, doubt); });
    if (!kept)
        return kept.error();
    crash_point("replay.marked");
    if (!replayed.was_late) {
        const auto buried = queue::dead_for_certain(connection, header.dispatcher, header.token,
                                                    replayed.is_complete ? "carried" : "none");
        if (!buried)
            return buried.error();
    }
    crash_point("replay.buried");
    return std::optional(replayed);
}

// The files of one enrolment. Its owner is dead if it has none of them any more; what one of them says is not enough to
// know what was not begun.
struct Left {
    std::vector<host::LockedFile> files;
    std::optional<Recollection> recollection;
    bool is_whole = true;
    bool has_owner = false;
};

Left look_at(const std::vector<std::string>& paths, std::vector<std::string>& problems)
{
    Left left;
    for (const std::string& path : paths) {
        auto file = host::LockedFile::take(path);
        if (!file && file.error() == std::errc::resource_unavailable_try_again) {
            left.has_owner = true;
            return left;
        }
        auto text = file ? file->read_all() : boost::system::result<std::string, std::error_code>(file.error());
        auto recollection = text ? recollect(*text) : Result<Recollection>(Error{text.error().message()});
        if (!recollection) {
            problems.push_back(fmt::format("{}: {}", path, recollection.error().text));
            left.is_whole = false;
            continue;
        }
        left.files.push_back(*std::move(file));
        if (!left.recollection)
            left.recollection = *std::move(recollection);
        else
            left.recollection->messages.merge(recollection->messages);
    }
    return left;
}

// By enrolment: the name without the number of the part.
std::map<std::string, std::vector<std::string>> open_journals(const std::string& folder)
{
    std::map<std::string, std::vector<std::string>> groups;
    for (const std::string& path : host::files_in(folder)) {
        if (is_open_journal(path))
            groups[path.substr(0, path.rfind('-'))].push_back(path);
    }
    return groups;
}

} // namespace

pg::DbResult<Replay> replay(pg::Connection& connection, const std::string& folder, queue::PlaceId doubt)
{
    Replay result;
    std::string database;
    for (const auto& [enrolment, paths] : open_journals(folder)) {
        Left left = look_at(paths, result.problems);
        if (left.has_owner || !left.recollection)
            continue;
        if (database.empty()) {
            auto identity = queue::identity_of_database(connection);
            if (!identity)
                return identity.error();
            database = *identity;
        }
        if (left.recollection->header.database != database)
            continue; // another installation's
        auto replayed = replay_one(connection, *left.recollection, left.is_whole, doubt);
        if (!replayed)
            return replayed.error();
        if (!*replayed)
            continue;
        for (host::LockedFile& file : left.files)
            if (const auto error = file.rename_to(done_path(file.path())))
                result.problems.push_back(fmt::format("{}: {}", file.path(), error.message()));
        result.done.push_back(**std::move(replayed));
    }
    return result;
}

} // namespace mailroom::journal
