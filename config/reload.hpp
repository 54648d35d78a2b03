// What a running service takes over from its settings file when that is read again, and what has to wait for a restart.
// Pure: service/host/service reads the file and acts on the answer.
#pragma once

#include "config/service_file.hpp"

#include <string_view>
#include <vector>

namespace mailroom {

struct Reload {
    ServiceFile file;                            // as read, but what needs a restart is as it was
    std::vector<std::string_view> taken_over;    // changed keys, as "[log] level"
    std::vector<std::string_view> after_restart; // changed as well
};

Reload reload(const ServiceFile& running, const ServiceFile& read);

} // namespace mailroom
