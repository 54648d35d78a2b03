#include "service/snapshot_events.hpp"

#include "config/text.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailroom {
namespace {

using rules::EventKind;

Event lacks_keys(const std::map<Owner, std::string>& sealed_otherwise, const queue::Keyring& keys)
{
    std::set<std::string> lacking;
    for (const auto& [owner, id] : sealed_otherwise)
        lacking.insert(id);
    const bool is_one = sealed_otherwise.size() == 1;
    return {EventKind::no_key,
            {},
            fmt::format("{} {} sealed with the key {}, which this service does not have (it has {}): mail that needs "
                        "{} is held",
                        count_of(static_cast<std::int64_t>(sealed_otherwise.size()), "password"),
                        is_one ? "was" : "were", fmt::join(lacking, " or "), fmt::join(keys.ids(), " and "),
                        is_one ? "it" : "them"),
            {}};
}

Event account_paused(const queue::RefusedLogin& login)
{
    const auto& [owner, account, server, reply] = login.contact;
    return {EventKind::account_paused, fmt::format("{} at {}", account, server),
            fmt::format("the account of {} ({} at {}) is paused: the server refused its login: {}", owner, account,
                        server, reply),
            login.reason == "basic_login_ended"
                ? fmt::format("a new password does not help: choose another Mailing Mode, or, if the provider allowed "
                              "passwords again: mailroom account probe {}",
                              owner)
                : fmt::format("enter the right password (mailroom account password {}) or correct the account or the "
                              "server; to try once more as it is: mailroom account probe {}",
                              owner, owner)};
}

Event sender_refused(const queue::RefusedSender& sender)
{
    return {EventKind::sender_refused,
            fmt::format("{} by {}", sender.from, sender.account),
            fmt::format("mail from {} by {} is stopped: the server refused the sender: {}", sender.from, sender.account,
                        sender.reply),
            {}};
}

} // namespace

void tell_of_snapshot(Events& events, const Snapshot& snapshot, const queue::Keyring* keys)
{
    if (keys != nullptr) { // without it nobody knows whose the refused logins are
        const auto& sealed_otherwise = snapshot.knowledge.sealed_otherwise;
        if (sealed_otherwise.empty())
            events.end(EventKind::no_key);
        else
            events.raise(lacks_keys(sealed_otherwise, *keys));
        std::vector<Event> paused;
        for (const auto& login : snapshot.paused_logins)
            paused.push_back(account_paused(login));
        events.only(EventKind::account_paused, std::move(paused));
    }
    // These are in the database: whoever sees them first tells them.
    std::vector<Event> refused;
    for (const auto& sender : snapshot.refused_senders)
        refused.push_back(sender_refused(sender));
    events.only(EventKind::sender_refused, std::move(refused));
}

} // namespace mailroom
