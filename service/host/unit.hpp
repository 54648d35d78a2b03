// The systemd unit that runs the daemon with a settings file, as far as it says what the daemon may read and write. It
// is read from its files: systemd is not asked, which may not even run where a doctor looks.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace mailroom::host {

struct Unit {
    std::string name;                  // mailroom.service, mailroom@acme.service
    std::string user;                  // empty: root
    std::string key;                   // the file handed over as the credential mailroom.key; empty: none
    bool is_closed = false;            // ProtectSystem=strict: it may write to nothing but
    std::vector<std::string> writable; // these folders, and what is in them
};

// Of those that the package brings, with what an administrator added to it (`systemctl edit`). None: the settings file
// is no unit's. Looks where systemd does, or where its SYSTEMD_UNIT_PATH says.
std::optional<Unit> unit_of(const std::string& config_path);

} // namespace mailroom::host
