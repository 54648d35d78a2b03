// The service's own settings file (TOML, docs/configuration.md): read and checked as a whole, every problem at once
// with its line. The mail settings are not here: they live in the database.
#pragma once

#include "config/address.hpp"
#include "config/error.hpp"
#include "config/mail_settings.hpp"
#include "config/secret.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom {

enum class LogLevel { debug, info, warning, error };
enum class LogTarget { automatic, standard_error, file, journal };
enum class LogFormat { text, json };
// Commands that go to a server at once: one; those of a message; those of the next message behind it as well.
enum class PipeliningPolicy { never, message, automatic, next_message };
// look_up: where the way that a message went has means to look (Microsoft Graph), what it finds decides; else as hold.
enum class DoubtPolicy { resend_once, hold, look_up };
enum class JournalStore { file, database, none };
enum class JournalSync { process, machine }; // what a mark has to outlive

struct ServiceFile {
    std::string path;

    struct Installation {
        std::string name;   // the database has the same, or nothing is sent
        std::string domain; // to the right of the @ in Message-IDs
    } installation;

    struct Database {
        std::string connection; // libpq's connection string; several hosts allowed
        bool pooled = false;    // a PgBouncer in transaction mode stands between: no LISTEN, no prepared statements
    } database;

    struct Secrets {
        std::string key_file; // empty: $CREDENTIALS_DIRECTORY/mailroom.key where that is set
    } secrets;

    // For test systems: what goes out, whatever the mail settings say. Either, or both: then everything is redirected.
    struct Safety {
        std::vector<MailAddress> redirect_to;               // empty: nothing is redirected
        std::optional<std::vector<std::string>> allow_only; // addresses and domains, in lower case; none: all
        bool operator==(const Safety&) const = default;
    } safety;

    struct Tls {
        std::string ca_file; // empty: the system's
    } tls;

    struct Smtp {
        std::string client_name; // said in EHLO; empty: this host's name
        std::chrono::milliseconds connect{20'000};
        std::chrono::milliseconds reply{300'000};       // to each command but the final dot: RFC 5321 section 4.5.3.2
        std::chrono::milliseconds final_reply{600'000}; // section 4.5.3.2.6
        std::chrono::milliseconds delivery{1'800'000};  // of a message up to its final dot, or of each 16 MiB of it
        PipeliningPolicy pipelining = PipeliningPolicy::automatic;
        std::chrono::milliseconds idle{15'000}; // an unused connection is closed after this
    } smtp;

    struct Dispatcher {
        int connections = 16;            // at the same time, to all servers
        int connections_per_account = 0; // of these, for one sending account; 0: a quarter
        std::chrono::milliseconds lease{20'000};
        std::chrono::milliseconds poll{1'000};
        std::chrono::milliseconds stop_limit{60'000};
    } dispatcher;

    struct Retry {
        int max_attempts = 20;
        std::chrono::milliseconds max_age{std::chrono::days(5)}; // of being put off; 0: no limit
    } retry;

    struct DoubtRule {
        DoubtPolicy policy = DoubtPolicy::resend_once;
        std::chrono::milliseconds resend_after{900'000};
        bool operator==(const DoubtRule&) const = default;
    };
    struct Doubt : DoubtRule {
        std::map<Category, DoubtRule> categories;
        std::map<std::string, DoubtRule> accounts; // by login or mailbox, in lower case; before the category's
    } doubt;

    // What this process leaves behind for the case that it dies (docs/decisions/journal.md).
    struct Journal {
        JournalStore store = JournalStore::file;
        std::string directory; // empty: $STATE_DIRECTORY, else a folder of the user's that runs it
        JournalSync sync = JournalSync::process;
        std::chrono::milliseconds keep{std::chrono::days(3)}; // files that are done with, for `mailroom recover`
    } journal;

    // How long what is done with is kept, at least; the same in all daemons of an installation, or the shortest counts.
    struct Retention {
        std::chrono::milliseconds content{std::chrono::days(7)};      // what messages carried, after their end
        std::chrono::milliseconds log{std::chrono::days(90)};         // what happened to them
        std::chrono::milliseconds idempotency{std::chrono::days(90)}; // keys of producers
    } retention;

    struct Log {
        LogLevel level = LogLevel::info;
        LogTarget target = LogTarget::automatic;      // the journal where standard error is connected to it
        LogFormat format = LogFormat::text;           // of standard error and of the file
        std::string file;                             // if `target` is that, never empty then
        std::uint64_t max_size = 64U * 1024U * 1024U; // octets of the file, then the next one begins; 0: it never does
        int keep = 5;                                 // files before this one
        bool subjects = false;                        // of messages may be logged
    } log;
};

// Every problem of the file, a line each: "mailroom.toml:12: [dispatcher] conections: there is no such key; did you
// mean connections?"
using Problems = std::vector<std::string>;

boost::system::result<ServiceFile, Problems> parse_service_file(std::string_view text, std::string path);
boost::system::result<ServiceFile, Problems> load_service_file(const std::string& path);

} // namespace mailroom
