// Step 5: what leaves by the desktop of its user (S3 S5 M3 D3). Internal to the rules.
#pragma once

#include "service/rules/case.hpp"

#include <optional>

namespace mailroom::rules {

bool is_desktop(Mode mode);

// None where the mode is no desktop mode.
std::optional<Decision> by_desktop(const Case& c, const Deciding& deciding);

} // namespace mailroom::rules
