// What this process may do with files, and as whom.
#pragma once

#include <string>
#include <system_error>

namespace mailroom::host {

std::string user_name(); // that this process runs as

// Whether it may append to the file or, where there is none, make it. It does neither.
std::error_code may_append(const std::string& path);

} // namespace mailroom::host
