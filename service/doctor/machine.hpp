// What can be told of this machine without the database: the settings file, the sealing key, the authorities, names;
// the daemon's files are in doctor/daemon. Functions called about_... judge what others found out; `config check` uses
// some of them.
#pragma once

#include "config/service_file.hpp"

#include "queue/keyring.hpp"
#include "service/doctor/finding.hpp"
#include "service/safety.hpp"
#include "transport/tls.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::doctor {

// Every problem of the file; who else may read or write it.
Findings about_settings(const std::string& path, const boost::system::result<ServiceFile, Problems>& file);

Finding about_key(const Result<std::optional<queue::Keyring>>& keys);
Finding about_safety(const Safety& safety); // a warning where not all mail goes to whom it is for
Finding about_authorities(const ServiceFile& file, const Result<tls::ClientContext>& authorities);

// kept: by NTP or likewise; none: it cannot be told. A clock that nobody keeps may be right, so it is no problem.
Finding about_own_clock(std::optional<bool> kept);

struct LookedUp {
    std::string name;
    std::size_t addresses = 0;
    std::chrono::milliseconds took{};
    std::string error; // empty: it was found
};
// How many addresses a name has; may take as long as it likes, and runs on a thread of its own.
using Resolve = std::function<Result<std::size_t>(const std::string& name)>;
Result<std::size_t> resolve(const std::string& name); // by this machine's DNS

// One after the other, each for at most 10 s, ours; after two that took so long the others are left out. What does not
// answer in time is left running: nobody waits for it.
std::vector<LookedUp> look_up(const std::vector<std::string>& names, const Resolve& resolve = doctor::resolve,
                              std::chrono::milliseconds limit = std::chrono::seconds(10));
Finding about_name(const LookedUp& name); // more than 2 s is a warning, ours

} // namespace mailroom::doctor
