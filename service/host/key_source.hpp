// Where the sealing key comes from: systemd's credentials, or the settings file.
#pragma once

#include "config/service_file.hpp"

#include "queue/keyring.hpp"

#include <optional>

namespace mailroom::host {

// The key file that the settings name, or of systemd's credentials; empty: none.
std::string key_path(const ServiceFile& file);

// None where nothing names a key: then mail that needs a password is held (key_missing).
Result<std::optional<queue::Keyring>> keyring(const ServiceFile& file);

} // namespace mailroom::host
