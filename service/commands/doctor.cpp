// Examines everything from the outside in, and goes on behind what is wrong as far as that makes sense.
#include "queue/settings_store.hpp"
#include "queue/upkeep.hpp"
#include "service/commands/commands.hpp"
#include "service/doctor/daemon.hpp"
#include "service/doctor/database.hpp"
#include "service/doctor/machine.hpp"
#include "service/doctor/queue.hpp"
#include "service/doctor/servers.hpp"
#include "service/host/clock.hpp"
#include "service/host/key_source.hpp"
#include "service/host/names.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <iterator>
#include <set>

namespace mailroom::commands {
namespace {

using namespace doctor; // NOLINT(google-build-using-namespace)
namespace json = boost::json;

// Shows what was found as soon as it is known; as JSON at the end.
class Report {
public:
    explicit Report(Output output) : output_(output) {}

    void add(Finding finding) { add(Findings{std::move(finding)}); }
    void add(Findings findings)
    {
        for (const auto& finding : findings)
            ++counts_.at(static_cast<std::size_t>(finding.level));
        if (output_ == Output::text) {
            for (const auto& finding : the_first(findings, most_shown))
                fmt::print("{}", to_lines(finding));
            std::fflush(stdout);
        }
        std::ranges::move(findings, std::back_inserter(all_));
    }
    void skip(const std::vector<std::string>& checks, std::string_view because)
    {
        for (const auto& check : checks)
            add(not_checked(check, "", because));
    }

    bool is_well() const { return count(Level::problem) == 0; }
    void end() const
    {
        if (output_ == Output::text) {
            fmt::print("{}, {}, {} ok, {} not checked\n", count_of(count(Level::problem), "problem"),
                       count_of(count(Level::warning), "warning"), count(Level::ok), count(Level::not_checked));
            return;
        }
        json::array findings;
        for (const auto& finding : all_)
            findings.push_back(to_json(finding));
        print_json({{"ok", is_well()},
                    {"problems", count(Level::problem)},
                    {"warnings", count(Level::warning)},
                    {"findings", std::move(findings)}});
    }

private:
    static constexpr std::size_t most_shown = 20; // of one kind, ours
    std::int64_t count(Level level) const { return counts_.at(static_cast<std::size_t>(level)); }

    Output output_;
    Findings all_;
    std::array<std::int64_t, 4> counts_{};
};

// The connection, made anew once it was lost: a statement past its limit ends it, and what is behind it can still be
// looked at.
class Link {
public:
    Link(pg::Connection connection, pg::Source source) : connection_(std::move(connection)), source_(std::move(source))
    {
        source_.may_be_read_only = true;
    }

    pg::Connection& get()
    {
        if (!connection_.usable())
            if (auto again = pg::Connection::connect(source_))
                connection_ = *std::move(again);
        return connection_;
    }

private:
    pg::Connection connection_;
    pg::Source source_;
};

// What the examination has in hand so far.
struct Patient {
    const ServiceFile& file;
    const Examination& wanted;
    const queue::Keyring* keys;            // null: none
    const tls::ClientContext* authorities; // null: none
};

void examine_names(Report& report, const std::vector<std::string>& names)
{
    for (const auto& name : look_up(names))
        report.add(about_name(name));
}

void examine_server(Report& report, Link& link)
{
    const auto clocks = compare_clocks(link.get());
    report.add(clocks ? about_clock(*clocks) : not_checked("clock", "", clocks.error().text));
    report.add(examine_room(link.get()));
    const auto facts = query_json(link.get(), "doctor_server");
    report.add(facts ? about_server(*facts) : Findings{not_checked("server", "", facts.error().text)});
}

void examine_upkeep(Report& report, Link& link)
{
    const auto pins = queue::pins(link.get());
    report.add(pins ? about_pins(*pins) : Findings{not_checked("vacuum", "", pins.error().text)});
    const auto rows = queue::dead_rows(link.get());
    report.add(rows ? about_dead_rows(*rows) : not_checked("dead_rows", "", rows.error().text));
}

// Pauses a refused login for all dispatchers, as one of them would: so it is not tried again before something changed.
std::string pause(pg::Connection& connection, const Account& account, const mailroom::Outcome& outcome)
{
    const char* const reason = outcome.cause == Cause::basic_login_ended ? "basic_login_ended" : "auth_failed";
    queue::LoginContact contact{account.name, account.login.credentials->login, account.login.server.host,
                                words_of(outcome)};
    const queue::RefusedLogin login{account.login.fingerprint, reason, std::move(contact)};
    const auto stored = queue::refuse_login(connection, login);
    return stored ? "it is paused from now on, so that it is not tried again"
                  : fmt::format("it could not be paused ({})", stored.error().text);
}

void examine_accounts(Report& report, Link& link, const Patient& patient, const Snapshot& snapshot)
{
    const Accounts found = smtp_accounts(snapshot, patient.keys, patient.wanted.accounts);
    report.add(found.findings);
    std::set<std::string> names;
    for (const auto& account : found.accounts)
        names.insert(account.login.server.host);
    examine_names(report, {names.begin(), names.end()});
    if (patient.wanted.servers == MailServers::leave) {
        report.skip({"servers", "logins"}, "--no-mail-servers says so");
        return;
    }
    const Visitor visitor{
        patient.authorities, host::client_name(patient.file),
        [&](const Account& account, const mailroom::Outcome& outcome) { return pause(link.get(), account, outcome); },
        [&](Findings findings) { report.add(std::move(findings)); },
        patient.wanted.accounts.empty() ? std::size_t{10} : patient.wanted.accounts.size()};
    visit_servers(found.accounts, visitor);
    if (found.accounts.empty())
        report.add(fine("servers", "", "no account sends by SMTP"));
}

void examine_queue(Report& report, Link& link, const Patient& patient)
{
    const auto facts = query_json(link.get(), "doctor_queue");
    if (!facts) {
        report.skip({"dispatchers", "queue", "holds", "accounts", "generations"}, facts.error().text);
    } else {
        report.add(
            about_queue(*facts, patient.keys != nullptr ? fmt::format("{}", fmt::join(patient.keys->ids(), " ")) : ""));
    }
    examine_upkeep(report, link);
    auto stored = queue::load_settings(link.get());
    if (!stored) {
        report.skip({"secrets", "servers", "logins"}, explained("reading the mail settings", stored.error()).text);
        return;
    }
    const auto snapshot = make_snapshot(*std::move(stored), patient.keys);
    const json::value nothing_known = json::object{{"dispatchers", json::array()}};
    report.add(about_secrets(snapshot->settings, patient.keys, facts ? *facts : nothing_known));
    examine_accounts(report, link, patient, *snapshot);
}

void examine_database(Report& report, const Options& options, const Patient& patient)
{
    const ServiceFile::Database& database = patient.file.database;
    const std::string& string = options.database.empty() ? database.connection : options.database;
    examine_names(report, pg::target_of(string).hosts);
    const pg::Source source{string, "mailroom doctor", {}, database.pooled};
    Visit visit = doctor::visit(source);
    report.add(std::move(visit.findings));
    const std::vector<std::string> behind{"dispatchers", "queue",     "holds",   "accounts", "generations",
                                          "vacuum",      "dead_rows", "secrets", "servers",  "logins"};
    if (!visit.connection) {
        report.skip({"clock", "space", "server", "roles", "schema", "installation"}, "the database cannot be reached");
        report.skip(behind, "the database cannot be reached");
        return;
    }
    Link link(*std::move(visit.connection), source);
    examine_server(report, link);
    const Findings schema = examine_schema(link.get(), patient.file.installation.name);
    report.add(schema);
    if (schema.front().level == Level::problem)
        report.skip(behind, "the schema cannot be used");
    else
        examine_queue(report, link, patient);
}

} // namespace

int doctor(const Options& options, const Examination& examination)
{
    Report report(options.output);
    const Daemon daemon = daemon_of(options.config_path);
    if (options.output == Output::text)
        fmt::print("mailroom {} on {}, {}\n", MAILROOM_VERSION, host::this_host(), words_of(daemon));
    const auto file = load_service_file(options.config_path);
    report.add(about_settings(options.config_path, file));
    if (!file) {
        report.skip({"key", "safety", "authorities", "log", "database"}, "the settings file is wrong");
        report.end();
        return Exit::usage;
    }
    const auto keys = host::keyring(*file);
    report.add(about_key(keys));
    report.add(about_safety(file->safety));
    const auto authorities = tls::ClientContext::make(file->tls.ca_file);
    report.add(about_authorities(*file, authorities));
    report.add(examine_service(options.config_path, *file, daemon));
    report.add(examine_log(file->log, daemon));
    report.add(examine_journal(*file, daemon));
    report.add(examine_space(file->log));
    report.add(about_own_clock(host::clock_is_kept()));
    const queue::Keyring* const ring = keys && *keys ? &**keys : nullptr;
    examine_database(report, options, {*file, examination, ring, authorities ? &*authorities : nullptr});
    report.end();
    return report.is_well() ? Exit::ok : Exit::failed;
}

} // namespace mailroom::commands
