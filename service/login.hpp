// What a session with an SMTP server is opened with.
#pragma once

#include "queue/keyring.hpp"
#include "service/rules/resolve_sender.hpp"
#include "transport/smtp/connection.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace mailroom {

struct Login {
    smtp::Server server;
    std::optional<smtp::Credentials> credentials;
    std::vector<std::uint8_t> fingerprint; // of the credentials; empty: none
};

// Opens the identity's password. keys: null when the service has none.
Result<Login> login_for(const rules::Identity& identity, const queue::Keyring* keys);

} // namespace mailroom
