#include "service/doctor/daemon.hpp"

#include "service/host/journal.hpp"
#include "service/host/journal_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

namespace mailroom::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t mebibyte = 1024 * 1024;

// What keeps a user from reading a file, and how to let it.
std::optional<Finding> about_reading(const std::string& path, const char* what, const host::User& user)
{
    const std::error_code error = path.empty() ? std::error_code() : host::may_read(path, &user);
    if (!error)
        return std::nullopt;
    std::string remedy = fmt::format("chown root:{0} {1} && chmod 0640 {1}", user.group, path);
    for (fs::path folder = fs::absolute(path).parent_path(); folder.has_relative_path(); folder = folder.parent_path())
        if (host::may_enter(folder.string(), &user)) // the outermost one is told
            remedy = fmt::format("chown root:{0} {1} && chmod 0750 {1}", user.group, folder.string());
    return problem("service", user.name, fmt::format("it cannot read {}, {}: {}", what, path, error.message()),
                   std::move(remedy));
}

bool is_below(const fs::path& path, const fs::path& folder)
{
    const auto [end, rest] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
    return end == folder.end();
}

// systemd makes the folders of a unit before it starts it.
bool is_made_by(const std::optional<host::Unit>& unit, const fs::path& folder)
{
    return unit && !fs::exists(folder) && std::ranges::find(unit->writable, folder.string()) != unit->writable.end();
}

bool is_open_to(const std::optional<host::Unit>& unit, const fs::path& folder)
{
    return !unit || !unit->is_closed ||
           std::ranges::any_of(unit->writable, [&](const auto& writable) { return is_below(folder, writable); });
}

} // namespace

Finding about_space(std::string_view folder, std::uintmax_t free_octets)
{
    const std::string left = fmt::format("{} MiB are free", free_octets / mebibyte);
    const std::string remedy = fmt::format("make room in the file system of {}", folder);
    if (free_octets < 16 * mebibyte)
        return problem("space", folder, left + ": there is none for what the service writes", remedy);
    if (free_octets < 512 * mebibyte)
        return warning("space", folder, "only " + left, remedy);
    return fine("space", folder, left);
}

Daemon daemon_of(const std::string& config_path)
{
    Daemon daemon{host::unit_of(config_path), {}};
    if (!host::is_root())
        return daemon;
    if (daemon.unit && !daemon.unit->user.empty())
        daemon.user = host::find_user(daemon.unit->user);
    else if (!daemon.unit && fs::absolute(config_path).parent_path() == "/etc/mailroom")
        daemon.user = host::find_user("mailroom");
    return daemon;
}

std::string words_of(const Daemon& daemon)
{
    std::string words = "run by " + host::user_name();
    if (daemon.user)
        words += ", files judged for " + daemon.user->name;
    if (daemon.user && daemon.unit)
        words += fmt::format(" ({})", daemon.unit->name);
    return words;
}

Findings examine_service(const std::string& config_path, const ServiceFile& file, const Daemon& daemon)
{
    if (daemon.unit && !daemon.unit->user.empty() && !daemon.user && host::is_root())
        return {problem("service", daemon.unit->user,
                        fmt::format("{} runs as this user, and there is none", daemon.unit->name),
                        "systemd-sysusers makes the package's; or correct User= by `systemctl edit`")};
    if (!daemon.user)
        return {};
    Findings findings;
    if (auto found = about_reading(config_path, "the settings file", *daemon.user))
        findings.push_back(*std::move(found));
    if (auto found = about_reading(file.tls.ca_file, "the authorities", *daemon.user)) {
        found->remedy = "let everybody read them: chmod o+r " + file.tls.ca_file;
        findings.push_back(*std::move(found));
    }
    const std::string& key = file.secrets.key_file;
    const bool is_handed_over = daemon.unit && daemon.unit->key == key;
    if (auto found = is_handed_over ? std::nullopt : about_reading(key, "the key", *daemon.user)) {
        found->remedy = daemon.unit ? fmt::format("`systemctl edit {}`: [Service] LoadCredential=mailroom.key:{}",
                                                  daemon.unit->name, key)
                                    : fmt::format("chown {0} {1} && chmod 0400 {1}", daemon.user->name, key);
        findings.push_back(*std::move(found));
    }
    if (findings.empty())
        findings.push_back(fine("service", daemon.user->name, "it can read what it needs"));
    return findings;
}

Findings examine_log(const ServiceFile::Log& log, const Daemon& daemon)
{
    if (log.target == LogTarget::journal && !host::journal_is_there())
        return {problem("log", "", "there is no journal here: serve does not start",
                        R"(another [log] target: "auto", "stderr" or "file")")};
    if (log.target == LogTarget::journal)
        return {fine("log", "", "systemd's journal")};
    if (log.target == LogTarget::automatic)
        return {fine("log", "", "standard error: systemd's journal, where it runs as a unit")};
    if (log.target == LogTarget::standard_error)
        return {fine("log", "", "standard error")};
    const fs::path folder = fs::absolute(log.file).lexically_normal().parent_path();
    const host::User* const by = daemon.user ? &*daemon.user : nullptr;
    const std::string who = by != nullptr ? by->name : host::user_name();
    if (!is_open_to(daemon.unit, folder))
        return {
            problem("log", log.file,
                    fmt::format("{} may write in {} only", daemon.unit->name, fmt::join(daemon.unit->writable, ", ")),
                    fmt::format("name a file there in [log] file; or `systemctl edit {}`: [Service] "
                                "ReadWritePaths={}",
                                daemon.unit->name, folder.string()))};
    const std::error_code error = host::may_append(log.file, by);
    if (error && !is_made_by(daemon.unit, folder))
        return {problem("log", log.file, fmt::format("{} cannot write it: {}", who, error.message()),
                        fmt::format("give the service's user the right to write in {}, or name another file in [log] "
                                    "file",
                                    folder.string()))};
    return {fine("log", log.file, fmt::format("{} can write it", who))};
}

Findings examine_journal(const ServiceFile& file, const Daemon& daemon)
{
    if (file.journal.store == JournalStore::database)
        return {fine("journal", "", "in the database")};
    if (file.journal.store == JournalStore::none)
        return {warning("journal", "", "there is none: if the service is killed, all that it had in hand is in doubt",
                        R"([journal] store = "file", or "database" where no disk lasts)")};
    if (file.journal.directory.empty() && daemon.unit)
        return {fine("journal", "", "in the folder that systemd gives the service")};
    const auto folder = host::journal_folder(file);
    if (!folder)
        return {problem("journal", "", host::where_is_the_journal)};
    const fs::path path = fs::absolute(*folder).lexically_normal();
    if (!is_open_to(daemon.unit, path))
        return {
            problem("journal", *folder,
                    fmt::format("{} may write in {} only", daemon.unit->name, fmt::join(daemon.unit->writable, ", ")),
                    "name a folder there in [journal] directory, or leave it out")};
    fs::path nearest = path; // it is made with those above it
    std::error_code ignored;
    while (nearest.has_relative_path() && !fs::exists(nearest, ignored))
        nearest = nearest.parent_path();
    const host::User* const by = daemon.user ? &*daemon.user : nullptr;
    const std::error_code error = fs::is_directory(nearest, ignored)
                                      ? host::may_append((nearest / "journal.new").string(), by)
                                      : std::make_error_code(std::errc::not_a_directory);
    const std::string who = by != nullptr ? by->name : host::user_name();
    if (error)
        return {
            problem("journal", *folder, fmt::format("{} cannot write there: {}: nothing is sent", who, error.message()),
                    fmt::format("give the service's user the right to write in {}, or name another folder in [journal] "
                                "directory",
                                nearest.string()))};
    return {fine("journal", *folder, fmt::format("{} can write there", who))};
}

Findings examine_space(const ServiceFile::Log& log)
{
    std::vector<std::string> folders{"/var/lib/mailroom", "/var/log/mailroom"};
    for (const char* const name : {"STATE_DIRECTORY", "LOGS_DIRECTORY"}) // systemd's
        if (const char* const folder = std::getenv(name); folder != nullptr)
            folders.emplace_back(folder);
    if (log.target == LogTarget::file)
        folders.push_back(fs::absolute(log.file).parent_path().string());
    else
        folders.emplace_back("/var/log/journal");
    Findings findings;
    std::set<std::uint64_t> seen;
    for (const auto& folder : folders)
        if (const auto room = host::room_in(folder); room && seen.insert(room->file_system).second)
            findings.push_back(about_space(folder, room->free_octets));
    return findings;
}

} // namespace mailroom::doctor
