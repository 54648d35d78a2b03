// Where the journal of messages is kept (service/journal).
#pragma once

#include "config/service_file.hpp"

#include <optional>
#include <string>

namespace mailroom::host {

// [journal] directory; else below $STATE_DIRECTORY, which systemd gives a service; else /var/lib/mailroom of root, and
// ~/.local/state/mailroom of others; none: there is no such place. Empty where no file is wanted.
std::optional<std::string> journal_folder(const ServiceFile& file);

constexpr const char* where_is_the_journal = "where is the journal to be kept? Name a folder: [journal] directory";

} // namespace mailroom::host
