#include "service/host/locked_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace mailroom::host {
namespace {

std::error_code last_error()
{
    return {errno, std::generic_category()};
}

// Until its owner has locked it, nobody is to find it.
std::string not_there_yet(const std::string& path)
{
    return path + ".new";
}

std::error_code sync_folder_of(const std::string& path)
{
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return last_error();
    const std::error_code error = ::fsync(descriptor) == 0 ? std::error_code() : last_error();
    ::close(descriptor);
    return error;
}

} // namespace

LockedFile::LockedFile(LockedFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      size_(other.size_),
      is_torn_(other.is_torn_)
{}

LockedFile::~LockedFile()
{
    if (descriptor_ >= 0)
        ::close(descriptor_);
}

boost::system::result<LockedFile, std::error_code> LockedFile::create(const std::string& path, std::string_view first)
{
    const std::string hidden = not_there_yet(path);
    const int descriptor = ::open(hidden.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return last_error();
    LockedFile file(descriptor, path);
    std::error_code error;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
        error = last_error();
    if (!error)
        error = file.append(first);
    if (!error && ::rename(hidden.c_str(), path.c_str()) != 0)
        error = last_error();
    if (!error)
        error = sync_folder_of(path);
    if (error) {
        ::unlink(hidden.c_str());
        return error;
    }
    return file;
}

boost::system::result<LockedFile, std::error_code> LockedFile::take(const std::string& path)
{
    const int descriptor = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
    if (descriptor < 0)
        return last_error();
    LockedFile file(descriptor, path);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
        return last_error();
    return file;
}

std::error_code LockedFile::append(std::string_view octets)
{
    std::string apart;
    if (is_torn_)
        octets = apart.append("\n").append(octets);
    while (!octets.empty()) {
        const ssize_t written = ::write(descriptor_, octets.data(), octets.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written == 0 ? std::make_error_code(std::errc::io_error) : last_error();
        is_torn_ = true; // until all of it is there
        size_ += static_cast<std::uint64_t>(written);
        octets.remove_prefix(static_cast<std::size_t>(written));
    }
    is_torn_ = false;
    return {};
}

std::error_code LockedFile::sync() const
{
    return ::fdatasync(descriptor_) == 0 ? std::error_code() : last_error();
}

std::error_code LockedFile::rename_to(const std::string& path)
{
    if (::rename(path_.c_str(), path.c_str()) != 0)
        return last_error();
    path_ = path;
    return {};
}

boost::system::result<std::string, std::error_code> LockedFile::read_all() const
{
    std::string text;
    std::array<char, 65'536> part{};
    for (;;) {
        const ssize_t got = ::pread(descriptor_, part.data(), part.size(), static_cast<off_t>(text.size()));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return last_error();
        if (got == 0)
            return text;
        text.append(part.data(), static_cast<std::size_t>(got));
    }
}

std::error_code make_private_folder(const std::string& path)
{
    std::error_code error;
    if (std::filesystem::is_directory(path, error))
        return ::access(path.c_str(), R_OK | W_OK | X_OK) == 0 ? std::error_code() : last_error();
    const std::filesystem::path parent = std::filesystem::path(path).parent_path();
    if (!parent.empty())
        std::filesystem::create_directories(parent, error);
    if (error)
        return error;
    return ::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST ? std::error_code() : last_error();
}

std::vector<std::string> files_in(const std::string& folder)
{
    std::vector<std::string> paths;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
        paths.push_back(entry->path().string());
    std::ranges::sort(paths);
    return paths;
}

std::string boot_id()
{
    std::string id;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    return id;
}

} // namespace mailroom::host
