// The daemon as it will run: as whom, what it may read and write, and the room that there is for it.
#pragma once

#include "config/service_file.hpp"

#include "service/doctor/finding.hpp"
#include "service/host/files.hpp"
#include "service/host/unit.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::doctor {

// As whom the daemon runs. Where this process is root, files are judged for that user.
struct Daemon {
    std::optional<host::Unit> unit; // that runs it with this settings file
    std::optional<host::User> user; // none: files are judged for whoever runs this process
};
Daemon daemon_of(const std::string& config_path);
std::string words_of(const Daemon& daemon); // run by root, files judged for mailroom (mailroom.service)

// Whether it can read what the settings file names; nothing where there is no user to judge it for.
Findings examine_service(const std::string& config_path, const ServiceFile& file, const Daemon& daemon);

Findings examine_log(const ServiceFile::Log& log, const Daemon& daemon = {}); // whether it can be written

// Whether what a dead daemon had begun can be written down.
Findings examine_journal(const ServiceFile& file, const Daemon& daemon = {});

// Of the folders that the service writes to, and of its log's: of each file system once.
Findings examine_space(const ServiceFile::Log& log);

// Less than 512 MiB is a warning, less than 16 MiB a problem; both ours.
Finding about_space(std::string_view folder, std::uintmax_t free_octets);

} // namespace mailroom::doctor
