#include "queue/migrate.hpp"
#include "queue/seal.hpp"
#include "service/commands/commands.hpp"
#include "service/host/key_source.hpp"
#include "transport/tls.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

// What can be checked without starting: the key, the authorities, the database with its schema and its name.
std::vector<std::string> problems_around(const ServiceFile& file, const Options& options)
{
    std::vector<std::string> problems;
    if (const auto key = host::sealing_key(file); !key)
        problems.push_back(key.error().text);
    if (const auto tls = tls::ClientContext::make(file.tls.ca_file); !tls)
        problems.push_back(tls.error().text);
    auto connection = connect(options);
    if (!connection) {
        problems.push_back(connection.error().text);
    } else if (const auto ours = queue::check_installation(*connection, file.installation.name); !ours) {
        problems.push_back(ours.error().text);
    }
    return problems;
}

} // namespace

int config_check(const Options& options)
{
    const auto file = load_service_file(options.config_path);
    const std::vector<std::string> problems = file ? problems_around(*file, options) : file.error();
    if (options.output == Output::json)
        print_json({{"file", options.config_path},
                    {"ok", problems.empty()},
                    {"problems", boost::json::array(problems.begin(), problems.end())}});
    for (const auto& problem : problems)
        fmt::print(stderr, "mailroom: {}\n", problem);
    if (problems.empty() && options.output == Output::text)
        fmt::print("{}: everything is in order\n", options.config_path);
    return !file ? Exit::usage : problems.empty() ? Exit::ok : Exit::failed;
}

int config_new_key(const Options& options, const std::string& path)
{
    const auto key = queue::SealingKey::create(path);
    if (!key)
        return complain(options, key.error().text);
    if (options.output == Output::json)
        print_json({{"file", path}, {"key_id", key->id()}});
    else
        fmt::print("wrote a new key to {} (id {}). Passwords sealed with it cannot be read without it: keep a copy in "
                   "a safe place\n",
                   path, key->id());
    return Exit::ok;
}

} // namespace mailroom::commands
