// The commands of `mailroom`, one function each; main.cpp reads the command line into their arguments. Each returns the
// exit code.
#pragma once

#include "service/commands/command.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mailroom::commands {

int serve(const Options& options);
int migrate(const Options& options);
int adopt(const Options& options);
int config_check(const Options& options);
int config_new_key(const Options& options, const std::string& path);

enum class MailServers { contact, leave };
struct Examination {
    std::vector<std::string> accounts; // whose servers to contact: general, or codes of users; empty: all
    MailServers servers = MailServers::contact;
};
int doctor(const Options& options, const Examination& examination);

struct Watching {
    std::chrono::milliseconds interval{2'000};
    bool once = false; // one page and no more, as where standard output is no terminal
};
int top(const Options& options, const Watching& watching);

// Whose settings: general, or a user, form or model with its code.
struct Target {
    std::string kind;
    std::string code;
};
int account_list(const Options& options);
int account_password(const Options& options, const Target& target);
int account_probe(const Options& options, const Target& target);

// Send Test Email.
struct Testing {
    Target target;                   // general, user, form, model or me
    std::vector<std::string> values; // name=value, as on the screen; not stored
    std::string to;                  // empty: the presser's own address
    std::string presser;             // the ERP user who presses
    bool types_password = false;
    std::chrono::milliseconds timeout{30'000};
};
int test_send(const Options& options, const Testing& testing);
int test_list(const Options& options, std::int64_t limit);

// The keys of a file; no path: that of the settings file. No id: the newest.
int key_list(const Options& options, const std::string& path);
int key_add(const Options& options, const std::string& path);
int key_rotate(const Options& options, const std::string& path, const std::string& id);
int key_drop(const Options& options, const std::string& path, const std::string& id);

struct SendArguments {
    std::string file; // JSON as for mailroom.enqueue; "-": standard input
    std::string user, form, model;
    std::vector<std::string> to, cc, bcc, reply_to;
    std::optional<std::string> subject, text;
    std::string text_file, html_file;
    std::vector<std::string> attach;        // paths
    std::vector<std::string> inline_images; // content-id=path
    std::vector<std::string> headers;       // Name: value
    std::string document, batch, key, lane, not_before, expires_at;
    bool wait = false;
    std::chrono::seconds timeout{300};
};
int send(const Options& options, const SendArguments& arguments);

int queue_depth(const Options& options);
int queue_held(const Options& options); // by reason and subject, with the remedy
int show(const Options& options, const std::string& uid);

// Who would send, and why: a message that waits, a supposed one, or those of a file by the settings of a file. One of
// the three.
struct Explaining {
    std::string uid;
    std::string user, form, model; // codes
    bool mobile = false;
    std::string settings, messages, status; // paths
};
int explain_sender(const Options& options, const Explaining& explaining);

// Which messages are meant: all that is given must be so, of several values any one. docs/operations.md says what each
// means.
struct Filter {
    bool all = false;
    std::vector<std::string> uids, batches, users, forms, models, routes, reasons, states, lanes, recipients;
    std::string older_than, newer_than; // 2h, "3 days"
};

struct Page {
    std::int64_t limit = 100;
    std::int64_t after = 0; // an id, as the page before printed it
};
int list(const Options& options, Filter filter, const Page& page);

// What must be so before anything is changed.
enum class Consent { ask, given, only_count };

struct Operation {
    std::string action; // retry, cancel, hold, release, reassign, settle
    Filter filter;
    Consent consent = Consent::ask;
    std::string note;
    bool now = false;              // retry: also what is scheduled
    std::string identity;          // release: keep or new; empty: not chosen
    std::string user, form, model; // reassign
    std::string outcome;           // settle: sent or not_sent
};
int operate(const Options& options, const Operation& operation);

int doubt_list(const Options& options, const Page& page);

struct Saving {
    std::vector<std::string> assignments;   // name=value
    std::optional<std::int64_t> if_version; // the version that was read; 0: it must not be there yet
    Consent consent = Consent::ask;         // only_count: a dry run
};
int account_set(const Options& options, const Target& target, const Saving& saving);

struct SettingsFile {
    std::string path;   // "-": standard input; empty: standard output
    std::string format; // json, toml, csv; empty: as the path says, otherwise json
    std::string kind;   // of a table: user, form, model
};
int settings_show(const Options& options, const Target& target); // no kind: all of them
int settings_export(const Options& options, const SettingsFile& file);
struct Applying {
    SettingsFile file;
    bool any_version = false; // also if the settings were changed since the file was exported
    Consent consent = Consent::ask;
};
int settings_apply(const Options& options, const Applying& applying);

struct Deletion {
    bool holds = false; // what waits for it is to be held
    std::optional<std::int64_t> if_version;
    Consent consent = Consent::ask;
};
int settings_delete(const Options& options, const Target& target, const Deletion& deletion);
// Of whom, to whom, then name=value of the new user.
int settings_copy(const Options& options, const std::vector<std::string>& words, Consent consent);
int settings_history(const Options& options, const Page& page); // after: the id before which to go on

struct Recovering {
    std::vector<std::string> journals; // folders; empty: that of the settings file
    bool is_complete = false;          // there were no others: what they do not name was not sent
    Consent consent = Consent::ask;
};
int recover(const Options& options, const Recovering& recovering);

int batch_list(const Options& options);
int batch_change(const Options& options, const std::string& action, const std::string& name, Consent consent);

struct EventFilter {
    bool all = false;  // also what has ended
    std::string since; // 2h, "3 days": what was open at some time in so long an interval; empty: no matter
    std::int64_t limit = 100;
    bool follow = false; // and what begins and ends from now on
};
int events(const Options& options, const EventFilter& filter);

// Limits of a server, for one login or for each that has none of its own (*).
struct LimitTarget {
    std::string server;
    std::string login = "*";
};
int limit_list(const Options& options);
int limit_set(const Options& options, const LimitTarget& target, const std::vector<std::string>& assignments);
int limit_remove(const Options& options, const LimitTarget& target);

} // namespace mailroom::commands
