#include "queue/keyring.hpp"
#include "service/commands/commands.hpp"
#include "service/doctor/daemon.hpp"
#include "service/doctor/database.hpp"
#include "service/doctor/machine.hpp"
#include "service/host/key_source.hpp"
#include "transport/tls.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace mailroom::commands {
namespace {

std::string check_words(const doctor::Finding& finding)
{
    return finding.text + (finding.remedy.empty() ? "" : "\n  " + finding.remedy);
}

// What must be right before anything starts: the key, the authorities, the log, the database with its schema and its
// name. It is the part of what a doctor looks at that `serve` would not start with.
std::vector<std::string> problems_around(const ServiceFile& file, const Options& options)
{
    const std::string& database = options.database.empty() ? file.database.connection : options.database;
    doctor::Findings findings{doctor::about_key(host::keyring(file)),
                              doctor::about_authorities(file, tls::ClientContext::make(file.tls.ca_file))};
    const auto append = [&findings](doctor::Findings more) { std::ranges::move(more, std::back_inserter(findings)); };
    append(doctor::examine_log(file.log));
    append(doctor::examine_journal(file));
    doctor::Visit visit = doctor::visit({database, "mailroom", {}, file.database.pooled});
    const bool takes_writes = visit.findings.front().level == doctor::Level::ok;
    append(std::move(visit.findings));
    if (visit.connection && takes_writes)
        append(doctor::examine_schema(*visit.connection, file.installation.name));
    std::vector<std::string> problems;
    for (const auto& finding : findings)
        if (finding.level == doctor::Level::problem)
            problems.push_back(check_words(finding));
    return problems;
}

// What `serve` starts with all the same.
std::vector<std::string> warnings_around(const ServiceFile& file)
{
    std::vector<std::string> warnings;
    for (const auto& finding : doctor::examine_space(file.log))
        if (finding.level != doctor::Level::ok)
            warnings.push_back(finding.subject + ": " + check_words(finding));
    if (const auto safety = doctor::about_safety(file.safety); safety.level != doctor::Level::ok)
        warnings.push_back(check_words(safety));
    return warnings;
}

} // namespace

int config_check(const Options& options)
{
    const auto file = load_service_file(options.config_path);
    const std::vector<std::string> problems = file ? problems_around(*file, options) : file.error();
    const std::vector<std::string> warnings = file ? warnings_around(*file) : std::vector<std::string>();
    if (options.output == Output::json)
        print_json({{"file", options.config_path},
                    {"ok", problems.empty()},
                    {"problems", boost::json::array(problems.begin(), problems.end())},
                    {"warnings", boost::json::array(warnings.begin(), warnings.end())}});
    for (const auto& problem : problems)
        fmt::print(stderr, "mailroom: {}\n", problem);
    for (const auto& warning : warnings)
        fmt::print(stderr, "mailroom: warning: {}\n", warning);
    if (problems.empty() && options.output == Output::text)
        fmt::print("{}: everything is in order\n", options.config_path);
    return !file ? Exit::usage : problems.empty() ? Exit::ok : Exit::failed;
}

int config_new_key(const Options& options, const std::string& path)
{
    const auto keys = queue::Keyring::create(path);
    if (!keys)
        return complain(options, keys.error().text);
    if (options.output == Output::json)
        print_json({{"file", path}, {"key_id", keys->newest().id()}});
    else
        fmt::print("wrote a new key to {} (id {}). Passwords sealed with it cannot be read without it: keep a copy in "
                   "a safe place\n",
                   path, keys->newest().id());
    return Exit::ok;
}

} // namespace mailroom::commands
