// What this process may do with files, and as whom; how much room there is for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

namespace mailroom::host {

std::string user_name(); // that this process runs as

// Whether it may append to the file or, where there is none, make it. It does neither.
std::error_code may_append(const std::string& path);

struct Room {
    std::uint64_t file_system = 0;  // the same number: the same one
    std::uintmax_t free_octets = 0; // for others than root
};
std::optional<Room> room_in(const std::string& folder); // none: there is no such folder

} // namespace mailroom::host
