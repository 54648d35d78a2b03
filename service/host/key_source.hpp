// Where the sealing key comes from: systemd's credentials, or the settings file.
#pragma once

#include "config/service_file.hpp"

#include "queue/seal.hpp"

#include <optional>

namespace mailroom::host {

// None where nothing names a key: then mail that needs a password is held (key_missing).
Result<std::optional<queue::SealingKey>> sealing_key(const ServiceFile& file);

} // namespace mailroom::host
