#include "service/journal/memory.hpp"

#include "service/host/locked_file.hpp"
#include "service/journal/file_journal.hpp"
#include "service/journal/lines.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>

namespace mailroom::journal {
namespace {

namespace json = boost::json;

constexpr std::size_t newest_files = 2;    // that a proof looks at, ours: a start is not to read days of mail
constexpr std::size_t newest_leases = 500; // of these, which are looked for in the queue: what was sent last

Result<Recollection> recollection_of(const std::string& path)
{
    std::ifstream stream(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
    if (!stream && text.empty())
        return Error{"it cannot be read"};
    return recollect(text);
}

// What is known of one message from all its leases.
struct Story {
    std::map<std::int32_t, Remembered> leases;
};

json::object object_in(const std::string& text)
{
    boost::system::error_code error;
    json::value value = json::parse(text, error);
    return !error && value.is_object() ? value.get_object() : json::object();
}

bool says_in_doubt(const json::object& outcome)
{
    const json::value* const event = outcome.if_contains("event");
    return event != nullptr && event->is_string() && event->get_string() == "in_doubt";
}

// The last outcome decides, but a doubt stays one until a later lease says how it ended.
std::string verdict_on(const std::string& uid, const Story& story)
{
    json::object result;
    std::string verdict = "unsent";
    json::value results;
    for (const auto& [lease_no, message] : story.leases) {
        json::object outcome = object_in(message.json);
        if (message.outcome == Remembered::Outcome::ended) {
            verdict = "ended";
            result = std::move(outcome);
        } else if (message.outcome == Remembered::Outcome::put_back) {
            if (says_in_doubt(outcome))
                verdict = "in_doubt";
            if (const json::value* const some = outcome.if_contains("results"))
                results = *some;
        } else if (message.is_begun) {
            verdict = "in_doubt";
        }
    }
    if (verdict != "ended" && !results.is_null())
        result["results"] = std::move(results);
    result["uid"] = uid;
    result["verdict"] = verdict;
    result["lease_no"] = story.leases.rbegin()->first; // the newest: the database is to give higher ones
    return json::serialize(result);
}

std::vector<std::string> journals_in(const std::string& folder)
{
    std::vector<std::string> paths;
    for (const std::string& path : host::files_in(folder)) {
        if (dispatcher_of_journal(path))
            paths.push_back(path);
    }
    return paths;
}

struct Newest {
    queue::DispatcherId dispatcher = 0;
    queue::MessageId message = 0;
    std::vector<std::pair<std::string, std::int32_t>> leases; // by uid, which the database gave
};

Newest newest_in(const std::string& folder, const std::string& database)
{
    Newest newest;
    std::vector<std::pair<std::filesystem::file_time_type, std::string>> by_age;
    for (const std::string& path : journals_in(folder)) {
        const auto header = read_header_of(path);
        if (!header || header->database != database)
            continue;
        newest.dispatcher = std::max(newest.dispatcher, header->dispatcher);
        std::error_code error;
        by_age.emplace_back(std::filesystem::last_write_time(path, error), path);
    }
    std::ranges::sort(by_age, std::greater<>());
    by_age.resize(std::min(by_age.size(), newest_files));
    for (const auto& [time, path] : by_age) {
        const auto recollection = recollection_of(path);
        if (!recollection || recollection->messages.empty())
            continue;
        newest.message = std::max(newest.message, recollection->messages.rbegin()->first.first);
        for (auto lease = recollection->taken.rbegin();
             lease != recollection->taken.rend() && newest.leases.size() < newest_leases; ++lease)
            newest.leases.emplace_back(recollection->messages.at(*lease).uid, lease->second);
    }
    return newest;
}

} // namespace

Memory remember(const std::vector<std::string>& folders, const std::string& database)
{
    Memory memory;
    std::map<std::string, Story> stories; // by uid
    for (const std::string& folder : folders) {
        for (const std::string& path : journals_in(folder)) {
            auto recollection = recollection_of(path);
            if (!recollection) {
                memory.problems.push_back(fmt::format("{}: {}", path, recollection.error().text));
                continue;
            }
            if (recollection->header.database != database)
                continue;
            ++memory.files;
            queue::Recovery& recovery = memory.recovery;
            recovery.newest_dispatcher = std::max(recovery.newest_dispatcher, recollection->header.dispatcher);
            for (auto& [lease, message] : recollection->messages) {
                recovery.newest_message = std::max(recovery.newest_message, lease.first);
                if (!message.uid.empty())
                    stories[message.uid].leases[lease.second] = std::move(message);
            }
        }
    }
    for (const auto& [uid, story] : stories)
        memory.recovery.messages.push_back(verdict_on(uid, story));
    return memory;
}

pg::DbResult<std::string> proof_of_restore(pg::Connection& connection, const std::string& folder)
{
    const auto identity = queue::identity_of_database(connection);
    if (!identity)
        return identity.error();
    // Before the database: it goes on, and living dispatchers write down what it gives them.
    const Newest newest = newest_in(folder, *identity);
    const auto known = queue::newest_numbers(connection);
    if (!known)
        return known.error();
    if (newest.dispatcher > known->dispatcher)
        return fmt::format("the journal in {} knows dispatcher {} of this database, which has had {} so far", folder,
                           newest.dispatcher, known->dispatcher);
    if (newest.message > known->message)
        return fmt::format("the journal in {} knows message {} of this database, which has had {} so far", folder,
                           newest.message, known->message);
    if (newest.leases.empty())
        return std::string();
    auto older = queue::count_older(connection, newest.leases);
    if (!older)
        return older.error();
    if (*older > 0)
        return fmt::format("the journal in {} knows of {} messages that they were sent, or tried, more often than this "
                           "database knows",
                           folder, *older);
    return std::string();
}

} // namespace mailroom::journal
