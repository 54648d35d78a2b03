#include "service/doctor/machine.hpp"

#include "queue/pg/connection.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <future>
#include <thread>
#include <utility>

namespace mailroom::doctor {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

bool any(fs::perms have, fs::perms wanted)
{
    return (have & wanted) != fs::perms::none;
}

Finding about_permissions(const std::string& path, const ServiceFile& file)
{
    std::error_code error;
    const fs::perms have = fs::status(path, error).permissions();
    if (error)
        return fine("settings", path, "no problem in it");
    const auto mode = static_cast<unsigned>(have & fs::perms::mask);
    if (any(have, fs::perms::others_write))
        return warning("settings", path, fmt::format("everybody may change it (mode {:04o})", mode),
                       "chmod o-w " + path);
    if (any(have, fs::perms::others_read) && pg::target_of(file.database.connection).has_password)
        return warning("settings", path,
                       fmt::format("it holds the database's password, and everybody may read it (mode {:04o})", mode),
                       "chmod o-r " + path + ", or put the password into a file that PGPASSFILE names");
    return fine("settings", path, "no problem in it");
}

} // namespace

Findings about_settings(const std::string& path, const boost::system::result<ServiceFile, Problems>& file)
{
    if (file)
        return {about_permissions(path, *file)};
    Findings findings;
    for (const auto& text : file.error())
        findings.push_back(problem("settings", "", text));
    findings.back().remedy = "docs/configuration.md lists every key; `mailroom config check` reads the file again";
    return findings;
}

Finding about_key(const Result<std::optional<queue::Keyring>>& keys)
{
    if (!keys)
        return problem("key", "", keys.error().text);
    if (!*keys)
        return warning("key", "",
                       "nothing names a sealing key: mail that needs a stored password is held (key_missing)",
                       "`mailroom config new-key /etc/mailroom/key`, and name it in [secrets] key_file");
    return fine("key", "", fmt::format("it can be read (id {})", fmt::join((*keys)->ids(), ", ")));
}

Finding about_safety(const Safety& safety)
{
    const std::string text = describe(safety);
    if (text.empty())
        return fine("safety", "", "none is set: mail goes to whom it is for");
    return warning("safety", "", "this is a test system: " + text,
                   "if real mail is to go out from here, take [safety] out of the settings file and reload");
}

Finding about_authorities(const ServiceFile& file, const Result<tls::ClientContext>& authorities)
{
    if (!authorities)
        return problem("authorities", "", authorities.error().text);
    return fine("authorities", "", file.tls.ca_file.empty() ? "those of this machine" : file.tls.ca_file);
}

Finding about_own_clock(std::optional<bool> kept)
{
    if (!kept)
        return not_checked("ntp", "", "the kernel does not say whether this machine's clock is kept");
    if (!*kept)
        return warning(
            "ntp", "", "nothing keeps this machine's clock, says its kernel; look whether it is right (date)",
            "`timedatectl set-ntp true` (Debian: with systemd-timesyncd or chrony installed); in a container, "
            "on its host");
    return fine("ntp", "", "this machine's clock is kept");
}

Result<std::size_t> resolve(const std::string& name)
{
    boost::asio::io_context io;
    boost::system::error_code error;
    const auto results = boost::asio::ip::tcp::resolver(io).resolve(name, "", error);
    if (error)
        return Error{error.message()};
    return results.size();
}

std::vector<LookedUp> look_up(const std::vector<std::string>& names, const Resolve& resolve,
                              std::chrono::milliseconds limit)
{
    std::vector<LookedUp> found;
    int silent = 0;
    for (const auto& name : names) {
        if (silent == 2) {
            found.push_back({name, 0, {}, "not looked up: the names before took too long"});
            continue;
        }
        const auto begun = Clock::now();
        std::packaged_task<Result<std::size_t>()> task([resolve, name] { return resolve(name); });
        auto answer = task.get_future();
        std::thread(std::move(task)).detach(); // nothing can break off what the system's resolver waits for
        if (answer.wait_for(limit) == std::future_status::timeout) {
            ++silent;
            const auto seconds = std::chrono::duration<double>(limit).count();
            found.push_back({name, 0, limit, fmt::format("no answer within {} s", seconds)});
            continue;
        }
        const auto addresses = answer.get();
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
        found.push_back({name, addresses ? *addresses : 0, took, addresses ? "" : addresses.error().text});
    }
    return found;
}

Finding about_name(const LookedUp& name)
{
    if (!name.error.empty())
        return problem(
            "names", name.name, "it does not resolve: " + name.error,
            fmt::format("correct the name where it is set, or this machine's DNS (getent hosts {})", name.name));
    const std::string text =
        fmt::format("{} address{} in {} ms", name.addresses, name.addresses == 1 ? "" : "es", name.took.count());
    if (name.took > std::chrono::seconds(2))
        return warning("names", name.name, text, "this machine's DNS is slow: look at its name servers");
    return fine("names", name.name, text);
}

} // namespace mailroom::doctor
