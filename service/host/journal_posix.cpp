#include "service/host/journal.hpp"

#include <fmt/format.h>

#define SD_JOURNAL_SUPPRESS_LOCATION // a line says what it is by its id, not by where it is in the sources
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>
#include <vector>

namespace mailroom::host {
namespace {

constexpr const char* journal_socket = "/run/systemd/journal/socket"; // systemd-journald.service(8)

} // namespace

// libsystemd takes it for written where nobody listens (sd_journal_print(3), "Return value").
bool journal_is_there()
{
    return ::access(journal_socket, W_OK) == 0;
}

bool standard_error_is_the_journals()
{
    const char* const stream = std::getenv("JOURNAL_STREAM"); // "device:inode", systemd.exec(5)
    struct stat status {};
    return stream != nullptr && ::fstat(STDERR_FILENO, &status) == 0 &&
           fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

Result<void> write_to_journal(std::string& entry)
{
    if (!journal_is_there())
        return Error{fmt::format("the journal: nobody listens at {}", journal_socket)};
    std::vector<iovec> fields;
    for (std::size_t begin = 0; begin < entry.size();) {
        const std::size_t end = std::min(entry.find('\n', begin), entry.size());
        fields.push_back({entry.data() + begin, end - begin});
        begin = end + 1;
    }
    const int result = sd_journal_sendv(fields.data(), static_cast<int>(fields.size()));
    if (result < 0)
        return Error{fmt::format("the journal: {}", std::strerror(-result))};
    return {};
}

} // namespace mailroom::host
