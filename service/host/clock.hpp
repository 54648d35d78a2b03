// This machine's clock, as its kernel knows it.
#pragma once

#include <optional>

namespace mailroom::host {

// Whether something keeps it, by NTP or likewise. None: it cannot be told. In a container, of the host's clock.
std::optional<bool> clock_is_kept();

} // namespace mailroom::host
