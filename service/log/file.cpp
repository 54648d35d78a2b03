#include "service/log/file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace mailroom::log {

namespace fs = std::filesystem;

Result<File> File::open(std::string path, std::uint64_t max_size, int keep)
{
    File file(std::move(path), max_size, keep);
    if (auto opened = file.open(); !opened)
        return opened.error();
    return file;
}

Result<void> File::open()
{
    std::error_code unknown; // what is wrong with the path, opening it says
    const bool is_new = !fs::exists(path_, unknown);
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): the pointer's own deleter closes it
    file_.reset(std::fopen(path_.c_str(), "abe")); // e: glibc's close-on-exec, elsewhere ignored
    if (!file_)
        return failed();
    if (is_new)
        fs::permissions(path_, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read, unknown);
    std::setvbuf(file_.get(), nullptr, _IONBF, 0); // batches come whole, and each must say whether it could be written
    const auto size = fs::file_size(path_, unknown); // /dev/null and the like have none
    size_ = unknown ? 0 : size;
    return {};
}

Result<void> File::write(std::string_view lines)
{
    if (max_size_ > 0 && size_ > 0 && size_ + lines.size() > max_size_)
        rotate();
    if (!file_) {
        if (auto opened = open(); !opened)
            return opened;
    }
    errno = 0;
    if (torn_ && std::fputc('\n', file_.get()) == EOF)
        return failed();
    torn_ = false;
    const std::size_t written = std::fwrite(lines.data(), 1, lines.size(), file_.get());
    size_ += written;
    if (written == lines.size())
        return {};
    torn_ = written > 0 && lines[written - 1] != '\n';
    return failed();
}

// Where a file cannot be renamed, the present one goes on: its lines are worth more than its size.
void File::rotate()
{
    const auto nth = [this](int n) { return n == 0 ? path_ : fmt::format("{}.{}", path_, n); };
    file_.reset();
    std::error_code ignored; // of files that are not there yet
    for (int n = keep_; n > 0; --n)
        fs::rename(nth(n - 1), nth(n), ignored);
    torn_ = false;
}

Error File::failed() const
{
    return {fmt::format("the log file {}: {}", path_, std::strerror(errno))};
}

} // namespace mailroom::log
