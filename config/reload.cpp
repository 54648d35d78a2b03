#include "config/reload.hpp"

#include <array>

namespace mailroom {
namespace {

using File = ServiceFile;

enum class When { at_once, after_restart };

struct Key {
    std::string_view name;
    When when;
    bool (*is_same)(const File&, const File&);
    void (*keep)(const File& from, File& to);
};

template <auto table, auto key>
constexpr Key entry(std::string_view name, When when)
{
    return {name, when, [](const File& a, const File& b) { return (a.*table).*key == (b.*table).*key; },
            [](const File& from, File& to) { (to.*table).*key = (from.*table).*key; }};
}

// Every key of the file. What names the installation, the database and this dispatcher in it is settled at the start.
constexpr std::array keys{
    entry<&File::installation, &File::Installation::name>("[installation] name", When::after_restart),
    entry<&File::installation, &File::Installation::domain>("[installation] domain", When::after_restart),
    entry<&File::database, &File::Database::connection>("[database] connection", When::after_restart),
    entry<&File::database, &File::Database::pooled>("[database] pooled", When::after_restart),
    entry<&File::secrets, &File::Secrets::key_file>("[secrets] key_file", When::after_restart),
    entry<&File::safety, &File::Safety::redirect_to>("[safety] redirect_to", When::at_once),
    entry<&File::safety, &File::Safety::allow_only>("[safety] allow_only", When::at_once),
    entry<&File::tls, &File::Tls::ca_file>("[tls] ca_file", When::at_once),
    entry<&File::smtp, &File::Smtp::client_name>("[smtp] client_name", When::at_once),
    entry<&File::smtp, &File::Smtp::connect>("[smtp] connect", When::at_once),
    entry<&File::smtp, &File::Smtp::reply>("[smtp] reply", When::at_once),
    entry<&File::smtp, &File::Smtp::final_reply>("[smtp] final_reply", When::at_once),
    entry<&File::smtp, &File::Smtp::delivery>("[smtp] delivery", When::at_once),
    entry<&File::smtp, &File::Smtp::idle>("[smtp] idle", When::at_once),
    entry<&File::smtp, &File::Smtp::pipelining>("[smtp] pipelining", When::at_once),
    entry<&File::dispatcher, &File::Dispatcher::connections>("[dispatcher] connections", When::at_once),
    entry<&File::dispatcher, &File::Dispatcher::connections_per_account>("[dispatcher] connections_per_account",
                                                                         When::at_once),
    entry<&File::dispatcher, &File::Dispatcher::lease>("[dispatcher] lease", When::after_restart),
    entry<&File::dispatcher, &File::Dispatcher::poll>("[dispatcher] poll", When::at_once),
    entry<&File::dispatcher, &File::Dispatcher::stop_limit>("[dispatcher] stop_limit", When::at_once),
    entry<&File::retry, &File::Retry::max_attempts>("[retry] max_attempts", When::at_once),
    entry<&File::retry, &File::Retry::max_age>("[retry] max_age", When::at_once),
    entry<&File::doubt, &File::Doubt::policy>("[doubt] policy", When::at_once),
    entry<&File::doubt, &File::Doubt::resend_after>("[doubt] resend_after", When::at_once),
    entry<&File::doubt, &File::Doubt::categories>("exceptions to [doubt] by category", When::at_once),
    entry<&File::doubt, &File::Doubt::accounts>("exceptions to [doubt] by account", When::at_once),
    entry<&File::journal, &File::Journal::store>("[journal] store", When::after_restart),
    entry<&File::journal, &File::Journal::directory>("[journal] directory", When::after_restart),
    entry<&File::journal, &File::Journal::sync>("[journal] sync", When::after_restart),
    entry<&File::journal, &File::Journal::keep>("[journal] keep", When::after_restart),
    entry<&File::retention, &File::Retention::content>("[retention] content", When::at_once),
    entry<&File::retention, &File::Retention::log>("[retention] log", When::at_once),
    entry<&File::retention, &File::Retention::idempotency>("[retention] idempotency", When::at_once),
    entry<&File::log, &File::Log::level>("[log] level", When::at_once),
    entry<&File::log, &File::Log::target>("[log] target", When::at_once),
    entry<&File::log, &File::Log::format>("[log] format", When::at_once),
    entry<&File::log, &File::Log::file>("[log] file", When::at_once),
    entry<&File::log, &File::Log::max_size>("[log] max_size", When::at_once),
    entry<&File::log, &File::Log::keep>("[log] keep", When::at_once),
    entry<&File::log, &File::Log::subjects>("[log] subjects", When::at_once),
};

} // namespace

Reload reload(const ServiceFile& running, const ServiceFile& read)
{
    Reload result{read, {}, {}};
    for (const Key& key : keys) {
        if (key.is_same(running, read))
            continue;
        if (key.when == When::at_once) {
            result.taken_over.push_back(key.name);
        } else {
            result.after_restart.push_back(key.name);
            key.keep(running, result.file);
        }
    }
    return result;
}

} // namespace mailroom
