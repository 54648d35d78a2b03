#include "service/host/files.hpp"

#include <cerrno>
#include <filesystem>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace mailroom::host {

std::string user_name()
{
    const passwd* const entry = ::getpwuid(::geteuid());
    return entry != nullptr ? entry->pw_name : "uid " + std::to_string(::geteuid());
}

std::error_code may_append(const std::string& path)
{
    if (::access(path.c_str(), W_OK) == 0) {
        const bool folder = std::filesystem::is_directory(path);
        return folder ? std::make_error_code(std::errc::is_a_directory) : std::error_code();
    }
    if (errno != ENOENT)
        return {errno, std::generic_category()};
    const std::string folder = std::filesystem::absolute(path).parent_path().string();
    return ::access(folder.c_str(), W_OK | X_OK) == 0 ? std::error_code()
                                                      : std::error_code(errno, std::generic_category());
}

std::optional<Room> room_in(const std::string& folder)
{
    struct stat file = {};
    struct statvfs room = {};
    if (::stat(folder.c_str(), &file) != 0 || ::statvfs(folder.c_str(), &room) != 0)
        return std::nullopt;
    return Room{file.st_dev, std::uintmax_t{room.f_bavail} * room.f_frsize};
}

} // namespace mailroom::host
