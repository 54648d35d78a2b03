#include "service/host/journal_folder.hpp"

#include <cstdlib>
#include <unistd.h>

namespace mailroom::host {
namespace {

std::string variable(const char* name)
{
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return value != nullptr ? value : "";
}

} // namespace

std::optional<std::string> journal_folder(const ServiceFile& file)
{
    if (file.journal.store != JournalStore::file)
        return std::string();
    if (!file.journal.directory.empty())
        return file.journal.directory;
    if (const std::string state = variable("STATE_DIRECTORY"); !state.empty())
        return state.substr(0, state.find(':')) + "/journal";
    if (::geteuid() == 0)
        return std::string("/var/lib/mailroom/journal");
    if (const std::string state = variable("XDG_STATE_HOME"); !state.empty())
        return state + "/mailroom/journal";
    if (const std::string home = variable("HOME"); !home.empty())
        return home + "/.local/state/mailroom/journal";
    return std::nullopt;
}

} // namespace mailroom::host
