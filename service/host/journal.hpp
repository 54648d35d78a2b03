// systemd's journal, by libsystemd. Where there is no systemd there is none, and only this file's other half knows it.
#pragma once

#include "config/error.hpp"

#include <string>

namespace mailroom::host {

bool journal_is_there();               // somebody takes entries
bool standard_error_is_the_journals(); // systemd connected them, and nobody has redirected it since

// entry: KEY=value, each with a line end, which no value holds. Waits while the journal is busy.
Result<void> write_to_journal(std::string& entry);

} // namespace mailroom::host
