#include "service/snapshot.hpp"

#include "config/text.hpp"

#include "service/rules/sender.hpp"

#include <algorithm>

namespace mailroom {
namespace {

rules::HoldReason reason_from(std::string_view text)
{
    return text == "basic_login_ended" ? rules::HoldReason::basic_login_ended : rules::HoldReason::auth_failed;
}

std::vector<Owner> owners_with_password(const MailSettings& settings)
{
    std::vector<Owner> owners;
    if (settings.general.password)
        owners.push_back(Owner::general());
    for (const auto& [id, user] : settings.users) {
        if (user.password)
            owners.push_back(Owner::user(id));
    }
    return owners;
}

const SealedSecret& password_of(const Owner& owner, const MailSettings& settings)
{
    return owner.kind == Owner::Kind::general ? *settings.general.password : *settings.users.at(owner.id).password;
}

// By a key that this service does not have: their mail waits for it and does not stand in the way of others'.
void find_sealed_otherwise(rules::Knowledge& knowledge, const MailSettings& settings, const queue::Keyring& keys)
{
    for (const Owner& owner : owners_with_password(settings)) {
        std::string id = queue::key_of(password_of(owner, settings));
        if (!id.empty() && keys.find(id) == nullptr)
            knowledge.sealed_otherwise.emplace(owner, std::move(id));
    }
}

// A server that has ended logins by password refuses this one whatever its password is; null: nothing was refused.
const queue::RefusedLogin* refusal_of(const OwnedLogin& login, const std::vector<queue::RefusedLogin>& known)
{
    const auto has_ended = [&](const queue::RefusedLogin& one) {
        return reason_from(one.reason) == rules::HoldReason::basic_login_ended &&
               one.contact.account == login.account && equals_ignoring_ascii_case(one.contact.server, login.host);
    };
    auto found = std::ranges::find_if(known, has_ended);
    if (found == known.end())
        found = std::ranges::find(known, login.fingerprint, &queue::RefusedLogin::fingerprint);
    return found == known.end() ? nullptr : &*found;
}

void find_paused(Snapshot& snapshot, const queue::StoredSettings& stored, const queue::Keyring& keys)
{
    if (stored.logins.empty())
        return;
    for (const Owner& owner : owners_with_password(stored.settings)) {
        const auto login = login_of(owner, stored.settings, keys);
        const queue::RefusedLogin* const refused = login ? refusal_of(*login, stored.logins) : nullptr;
        if (refused == nullptr)
            continue;
        snapshot.knowledge.refused_logins.emplace(owner, reason_from(refused->reason));
        const auto same = [&](const auto& known) { return known.fingerprint == refused->fingerprint; };
        if (std::ranges::none_of(snapshot.paused_logins, same))
            snapshot.paused_logins.push_back(*refused);
    }
}

bool has_token(const Owner& owner, const MailSettings& settings)
{
    if (owner.kind == Owner::Kind::general)
        return settings.general.token.has_value();
    const auto user = settings.users.find(owner.id);
    return user != settings.users.end() && user->second.token.has_value();
}

// Nobody is signed in without a token, whatever the last contact said.
void read_statuses(rules::Knowledge& knowledge, const queue::StoredSettings& stored)
{
    for (const auto& known : stored.statuses) {
        rules::AccountStatus status;
        status.state = rules::account_state_from(known.state).value_or(rules::AccountState::never_tried);
        if (status.state == rules::AccountState::authenticated && !has_token(known.owner, stored.settings))
            status.state = rules::AccountState::never_tried;
        status.account = known.account;
        if (auto mailbox = MailAddress::parse(known.mailbox))
            status.mailbox = *std::move(mailbox);
        status.aliases.emplace();
        for (const std::string& alias : known.aliases) {
            if (auto address = MailAddress::parse(alias))
                status.aliases->push_back(*std::move(address));
        }
        status.lacks_sending_for_others = known.lacks_sending_for_others;
        knowledge.accounts.emplace(known.owner, std::move(status));
    }
}

void read_agents(rules::Knowledge& knowledge, const queue::StoredSettings& stored)
{
    using Outlook = rules::DesktopAgent::Outlook;
    for (const auto& known : stored.agents) {
        rules::DesktopAgent agent;
        agent.outlook = known.outlook == "classic"    ? Outlook::classic
                        : known.outlook == "only_new" ? Outlook::only_new
                                                      : Outlook::none;
        for (const auto& account : known.accounts) {
            if (auto address = MailAddress::parse(account.address))
                agent.accounts.push_back({*std::move(address), account.linked});
        }
        knowledge.agents.emplace(known.user, std::move(agent));
    }
}

// But those whose trial is this message.
std::vector<rules::RefusedPair> pairs_of(const std::vector<queue::RefusedSender>& senders, std::string_view trial)
{
    std::vector<rules::RefusedPair> pairs;
    for (const auto& sender : senders) {
        const auto mode = mode_from(sender.mode);
        auto from = MailAddress::parse(sender.from);
        if (mode && from && (trial.empty() || sender.trial != trial))
            pairs.push_back({*mode, sender.account, *std::move(from)});
    }
    return pairs;
}

} // namespace

std::optional<OwnedLogin> login_of(const Owner& owner, const MailSettings& settings, const queue::Keyring& keys)
{
    const bool is_general = owner.kind == Owner::Kind::general;
    if (!is_general && !settings.users.contains(owner.id))
        return std::nullopt;
    const rules::Sender sender = is_general
                                     ? rules::sender_for_mobile(settings.general)
                                     : rules::sender_of(settings.users.at(owner.id), Mode::smtp, settings.general);
    if (sender.password == nullptr || sender.server == nullptr)
        return std::nullopt;
    const auto password = keys.open(*sender.password, queue::password_place(owner));
    if (!password)
        return std::nullopt;
    const std::string host(trimmed(sender.server->host));
    return OwnedLogin{owner, host, sender.account, keys.fingerprint(*sender.password, host, sender.account, *password)};
}

std::shared_ptr<const Snapshot> make_snapshot(queue::StoredSettings stored, const queue::Keyring* keys)
{
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->knowledge.key_missing = keys == nullptr;
    if (keys != nullptr) {
        find_sealed_otherwise(snapshot->knowledge, stored.settings, *keys);
        find_paused(*snapshot, stored, *keys);
    }
    snapshot->knowledge.refused_pairs = pairs_of(stored.senders, {});
    read_statuses(snapshot->knowledge, stored);
    read_agents(snapshot->knowledge, stored);
    for (const auto& sender : stored.senders) {
        if (sender.trial.empty())
            continue;
        rules::Knowledge& knowledge = snapshot->trials.emplace(sender.trial, snapshot->knowledge).first->second;
        knowledge.refused_pairs = pairs_of(stored.senders, sender.trial);
    }
    snapshot->refused_logins = std::move(stored.logins);
    snapshot->refused_senders = std::move(stored.senders);
    snapshot->settings = std::move(stored.settings);
    return snapshot;
}

} // namespace mailroom
