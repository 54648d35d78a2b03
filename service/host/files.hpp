// What this process may do with files, and as whom; how much room there is for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace mailroom::host {

struct User {
    std::string name;
    std::string group; // its first
    unsigned id = 0;
    std::vector<unsigned> groups; // the first one first
};
std::optional<User> find_user(const std::string& name);

std::string user_name(); // that this process runs as
bool is_root();

// What may be done, by this process or, where it is root, by another user. None of it is done. No error: it may.
std::error_code may_read(const std::string& path, const User* by = nullptr);
std::error_code may_enter(const std::string& folder, const User* by = nullptr);
std::error_code may_append(const std::string& path, const User* by = nullptr); // or make it, where there is none

struct Room {
    std::uint64_t file_system = 0;  // the same number: the same one
    std::uintmax_t free_octets = 0; // for others than root
};
std::optional<Room> room_in(const std::string& folder); // none: there is no such folder

} // namespace mailroom::host
