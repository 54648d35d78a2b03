// A file that one process appends to, and whose lock says that this process lives: the system drops it with the
// process, however that ends. What one append wrote, survives the process; what sync() confirmed, survives the machine.
#pragma once

#include <boost/system/result.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace mailroom::host {

class LockedFile {
public:
    // A new file, which appears under its name with `first` in it, and locked. The folder must be there.
    static boost::system::result<LockedFile, std::error_code> create(const std::string& path, std::string_view first);
    // An existing one; errc::resource_unavailable_try_again: its owner lives.
    static boost::system::result<LockedFile, std::error_code> take(const std::string& path);

    LockedFile(const LockedFile&) = delete;
    LockedFile& operator=(const LockedFile&) = delete;
    LockedFile(LockedFile&& other) noexcept;
    LockedFile& operator=(LockedFile&&) = delete;
    ~LockedFile();

    // All of it, or an error. What an error left is set apart from what comes next by an end of line.
    std::error_code append(std::string_view octets);
    std::error_code sync() const;                       // from any thread
    std::error_code rename_to(const std::string& path); // still locked
    boost::system::result<std::string, std::error_code> read_all() const;

    const std::string& path() const { return path_; }
    std::uint64_t size() const { return size_; }

private:
    LockedFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

    int descriptor_;
    std::string path_;
    std::uint64_t size_ = 0; // of what was appended
    bool is_torn_ = false;
};

// Makes the folder, for this user alone, where it is not there.
std::error_code make_private_folder(const std::string& path);
std::vector<std::string> files_in(const std::string& folder); // paths, sorted; none where it cannot be read
// Of the machine; another after each restart of it. Empty where the system does not say.
std::string boot_id();

} // namespace mailroom::host
