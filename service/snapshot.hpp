// One reading of the mail settings with what follows from it: the logins that are paused, expanded to every owner who
// holds them. Immutable; dispatching code shares it, so that one decision never mixes two versions.
#pragma once

#include "queue/keyring.hpp"
#include "queue/settings_store.hpp"
#include "service/rules/resolve_sender.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mailroom {

struct Snapshot {
    MailSettings settings;
    rules::Knowledge knowledge;
    std::vector<queue::RefusedLogin> refused_logins;
    std::vector<queue::RefusedLogin> paused_logins; // of these, what somebody's settings still name; needs the key
    std::vector<queue::RefusedSender> refused_senders;
    // By the uid of a message that is tried for all of its refused pair: what is known but that refusal.
    std::map<std::string, rules::Knowledge> trials;
};

// keys: null when the service has none.
std::shared_ptr<const Snapshot> make_snapshot(queue::StoredSettings stored, const queue::Keyring* keys);

// An owner's login as it would be used with SMTP, whatever the owner's present mode; none: no password, or it does not
// open.
struct OwnedLogin {
    Owner owner;
    std::string host;
    std::string account;
    std::vector<std::uint8_t> fingerprint;
};
std::optional<OwnedLogin> login_of(const Owner& owner, const MailSettings& settings, const queue::Keyring& keys);

} // namespace mailroom
