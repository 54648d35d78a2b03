#include "service/host/files.hpp"

#include <cerrno>
#include <filesystem>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mailroom::host {
namespace {

std::error_code error_of(int number)
{
    return {number, std::generic_category()};
}

int read_error(const char* path, const char*)
{
    return ::access(path, R_OK) == 0 ? 0 : errno;
}

int enter_error(const char* folder, const char*)
{
    return ::access(folder, X_OK) == 0 ? 0 : errno;
}

int append_error(const char* path, const char* folder)
{
    struct stat file = {};
    if (::access(path, W_OK) == 0)
        return ::stat(path, &file) == 0 && S_ISDIR(file.st_mode) ? EISDIR : 0;
    if (errno != ENOENT)
        return errno;
    return ::access(folder, W_OK | X_OK) == 0 ? 0 : errno;
}

// In a process of its own, since a process that gave up being root is root no more. Between fork and _exit nothing
// allocates. Numbers of errors are less than 256, so one is its exit code.
std::error_code tried(int (*attempt)(const char*, const char*), const std::string& path, const User* by)
{
    const std::string folder = std::filesystem::absolute(path).parent_path().string();
    if (by == nullptr)
        return error_of(attempt(path.c_str(), folder.c_str()));
    const pid_t child = ::fork();
    if (child == 0) {
        const gid_t* const groups = by->groups.data();
        if (::setgroups(by->groups.size(), groups) != 0 || ::setgid(*groups) != 0 || ::setuid(by->id) != 0)
            ::_exit(EPERM);
        ::_exit(attempt(path.c_str(), folder.c_str()));
    }
    int status = 0;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && WIFEXITED(status) ? error_of(WEXITSTATUS(status)) : error_of(EAGAIN);
}

} // namespace

std::optional<User> find_user(const std::string& name)
{
    const passwd* const entry = ::getpwnam(name.c_str());
    if (entry == nullptr)
        return std::nullopt;
    User user{name, std::to_string(entry->pw_gid), entry->pw_uid, {}};
    const gid_t first = entry->pw_gid;
    int count = 64; // more than anybody has that runs a service
    user.groups.resize(static_cast<std::size_t>(count));
    if (::getgrouplist(name.c_str(), first, user.groups.data(), &count) < 0)
        return std::nullopt;
    user.groups.resize(static_cast<std::size_t>(count));
    if (const group* const named = ::getgrgid(first); named != nullptr)
        user.group = named->gr_name;
    return user;
}

std::string user_name()
{
    const passwd* const entry = ::getpwuid(::geteuid());
    return entry != nullptr ? entry->pw_name : "uid " + std::to_string(::geteuid());
}

bool is_root()
{
    return ::geteuid() == 0;
}

std::error_code may_read(const std::string& path, const User* by)
{
    return tried(read_error, path, by);
}

std::error_code may_enter(const std::string& folder, const User* by)
{
    return tried(enter_error, folder, by);
}

std::error_code may_append(const std::string& path, const User* by)
{
    return tried(append_error, path, by);
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
