// The command line of mailroom: reads the arguments, calls the command, turns what broke into one line and an exit
// code.
#include "service/command_line/generate.hpp"
#include "service/commands/commands.hpp"
#include "service/host/core_dumps.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace {

using namespace mailroom;
using commands::Options;

constexpr const char* about = R"(mailroom sends the mail that an ERP puts into its PostgreSQL database.

First steps:
  mailroom config new-key /etc/mailroom/key       a key to seal passwords with
  mailroom config check                           is the settings file right, is the database there?
  mailroom migrate                                makes or updates the schema (as the database's owner)
  mailroom account set general mode=smtp server=mail.example.com account=erp@example.com
  mailroom account password general
  mailroom serve)";

constexpr const char* exit_codes = R"(Exit codes: 0 done, 1 error, 2 wrong command line or settings file;
send --wait: 0 sent, 3 held, 4 failed or partly sent, 5 in doubt, 6 not at its end within --timeout)";

using Action = std::function<int()>;

// Adds a command whose --json is its own, so that it may stand before or behind the name.
CLI::App* command(CLI::App& parent, const char* name, const char* description, Options& options, Action& chosen,
                  Action action)
{
    CLI::App* const app = parent.add_subcommand(name, description);
    app->add_flag_callback(
        "--json", [&options] { options.output = commands::Output::json; }, "Print JSON, for scripts");
    app->callback([&chosen, action = std::move(action)] { chosen = action; });
    return app;
}

void add_target(CLI::App* app, commands::Target& target, const std::vector<std::string>& kinds)
{
    app->add_option("kind", target.kind, "Whose settings")->required()->check(CLI::IsMember(kinds));
    app->add_option("code", target.code, "The code of the user, form or model");
}

bool has_right_code(const commands::Target& target)
{
    return target.kind.empty() || (target.kind == "general") == target.code.empty();
}

Action with_target(const Options& options, const commands::Target& target, std::function<int()> action)
{
    return [&options, &target, action = std::move(action)] {
        if (has_right_code(target))
            return action();
        return commands::complain(
            options, target.code.empty() ? fmt::format("{} which? Give its code", target.kind) : "general has no code",
            commands::Exit::usage);
    };
}

void add_if_version(CLI::App* app, std::optional<std::int64_t>& version)
{
    app->add_option("--if-version", version,
                    "Only if nobody has saved since: the version as `mailroom settings show` told it; 0: it is new")
        ->check(CLI::NonNegativeNumber);
}

void add_settings_consent(CLI::App* app, commands::Consent& consent)
{
    CLI::Option* const yes = app->add_flag_callback(
        "--yes", [&consent] { consent = commands::Consent::given; }, "Do not ask, also where mail would be held");
    app->add_flag_callback(
           "--dry-run", [&consent] { consent = commands::Consent::only_count; },
           "Save nothing; say whose sender, mode or hold would differ")
        ->excludes(yes);
}

void add_account_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Target target;
    static commands::Saving saving;
    CLI::App* const account = app.add_subcommand("account", "The mail settings: who sends, by which server, as whom");
    account->require_subcommand(1);
    command(*account, "list", "Shows General, users, forms and models", options, chosen,
            [&] { return commands::account_list(options); });
    CLI::App* const set =
        command(*account, "set", "Saves settings: account set user ANNA email=anna@example.com mode=smtp", options,
                chosen, with_target(options, target, [&] { return commands::account_set(options, target, saving); }));
    set->add_option("kind", target.kind, "general, user, form or model")
        ->required()
        ->check(CLI::IsMember({"general", "user", "form", "model"}));
    set->add_option("settings", saving.assignments, "The code (not for general), then name=value ...")->required();
    set->parse_complete_callback([] { // the first word without = is the code
        if (target.kind != "general" && saving.assignments.front().find('=') == std::string::npos) {
            target.code = saving.assignments.front();
            saving.assignments.erase(saving.assignments.begin());
        }
    });
    add_if_version(set, saving.if_version);
    add_settings_consent(set, saving.consent);
    CLI::App* const password =
        command(*account, "password", "Stores a password: asks twice, or reads one line of standard input", options,
                chosen, with_target(options, target, [&] { return commands::account_password(options, target); }));
    add_target(password, target, {"general", "user"});
    CLI::App* const probe =
        command(*account, "probe", "Tries a paused account again", options, chosen,
                with_target(options, target, [&] { return commands::account_probe(options, target); }));
    add_target(probe, target, {"general", "user"});
}

void add_settings_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Target target;
    static commands::SettingsFile file;
    static commands::Consent consent = commands::Consent::ask;
    static commands::Deletion deletion;
    static commands::Page page;
    static std::vector<std::string> words;
    CLI::App* const settings = app.add_subcommand("settings", "All mail settings: shown, exported, applied, recorded");
    settings->require_subcommand(1);

    CLI::App* const show =
        command(*settings, "show", "Shows each setting with its value and where it comes from", options, chosen,
                with_target(options, target, [&options] { return commands::settings_show(options, target); }));
    show->add_option("kind", target.kind, "general, user, form or model; without it all of them")
        ->check(CLI::IsMember({"general", "user", "form", "model"}));
    show->add_option("code", target.code, "The code of the user, form or model");

    CLI::App* const exported =
        command(*settings, "export", "Writes all settings but secrets to a file, or to standard output", options,
                chosen, [&options] { return commands::settings_export(options, file); });
    exported->add_option("file", file.path, "Where to write it")->type_name("FILE");
    exported->add_option("--format", file.format, "Otherwise as the file is called, or json")
        ->check(CLI::IsMember({"json", "toml"}));

    CLI::App* const apply = command(*settings, "apply", "Saves what a file names: all of it, or nothing", options,
                                    chosen, [&options] { return commands::settings_apply(options, file, consent); });
    apply->add_option("file", file.path, "An export, or a table; - is standard input")->required()->type_name("FILE");
    apply->add_option("--format", file.format, "Otherwise as the file is called, or json")
        ->check(CLI::IsMember({"json", "toml", "csv"}));
    apply->add_option("--kind", file.kind, "What a table (CSV) is of")->check(CLI::IsMember({"user", "form", "model"}));
    add_settings_consent(apply, consent);

    CLI::App* const remove = command(
        *settings, "delete", "Deletes a user, form or model", options, chosen,
        with_target(options, target, [&options] { return commands::settings_delete(options, target, deletion); }));
    add_target(remove, target, {"user", "form", "model"});
    remove->add_flag("--hold", deletion.holds, "Also if messages wait for it: they are held");
    add_if_version(remove, deletion.if_version);
    add_settings_consent(remove, deletion.consent);

    CLI::App* const copy =
        command(*settings, "copy", "Makes a user with the settings of another, without secrets", options, chosen,
                [&options] { return commands::settings_copy(options, words, consent); });
    copy->add_option("kind", target.kind, "user")->required()->check(CLI::IsMember(std::vector<std::string>{"user"}));
    copy->add_option("words", words, "The code of the one, that of the new one, then name=value ... of its own")
        ->required()
        ->expected(2, 100);
    copy->add_flag_callback(
        "--dry-run", [] { consent = commands::Consent::only_count; }, "Save nothing; say whose sender would differ");

    CLI::App* const history = command(*settings, "history", "Shows who changed what, the newest first", options, chosen,
                                      [&options] { return commands::settings_history(options, page); });
    history->add_option("--limit", page.limit, "How many at most")->capture_default_str()->check(CLI::Range(1, 10'000));
    history->add_option("--before", page.after, "Older than this id, as the page before said");
}

void add_key_commands(CLI::App& app, Options& options, Action& chosen)
{
    static std::string file;
    static std::string id;
    CLI::App* const key = app.add_subcommand("key", "The keys that passwords are sealed with, and their replacement");
    key->require_subcommand(1);
    const auto add = [&](const char* name, const char* description, Action action) {
        CLI::App* const one = command(*key, name, description, options, chosen, std::move(action));
        one->add_option("--file", file, "The key file, instead of the settings file's")->type_name("FILE");
        return one;
    };
    add("list", "Shows which keys there are, what each seals and which dispatchers have it",
        [&options] { return commands::key_list(options, file); });
    add("add", "Adds a new key to the key file; nothing is sealed with it yet",
        [&options] { return commands::key_add(options, file); });
    add("rotate", "Seals all passwords with the newest key of the file, and what is new from now on", [&options] {
        return commands::key_rotate(options, file, id);
    })->add_option("--to", id, "With this key instead of the newest");
    add("drop", "Removes a key from the key file that seals nothing any more",
        [&options] { return commands::key_drop(options, file, id); })
        ->add_option("key", id, "Its id, as `mailroom key list` shows it")
        ->required();
}

void add_test_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Testing testing;
    static std::int64_t limit = 20;
    static double seconds = 30;
    CLI::App* const test = app.add_subcommand("test", "Sends a test e-mail as real mail would go, and tells each step");
    test->require_subcommand(1);
    for (const auto& [kind, description] :
         {std::pair{"general", "Tests the shared account, as mail of MOBILE"},
          std::pair{"user", "Tests a user's account, as the user's standard mail"},
          std::pair{"form", "Tests a form, as mass mail; with a blank address as standard mail of --as"},
          std::pair{"model", "Tests a model, as dispatch mail; with a blank address as standard mail of --as"},
          std::pair{"me", "Tests one's own account, that of --as"}}) {
        CLI::App* const one = command(*test, kind, description, options, chosen, [&options, kind = kind] {
            testing.target.kind = kind;
            testing.timeout = std::chrono::milliseconds(std::llround(seconds * 1000));
            return commands::test_send(options, testing);
        });
        if (kind != std::string_view("general") && kind != std::string_view("me"))
            one->add_option("code", testing.target.code, "The code of the user, form or model")->required();
        one->add_option("settings", testing.values, "name=value ...: as on the screen, not stored");
        one->add_option("--to", testing.to, "Where the test goes; otherwise to the address of --as");
        one->add_option("--as", testing.presser, "Code of the ERP user who presses the button")->type_name("USER");
        one->add_flag("--password", testing.types_password,
                      "Asks for the password to try, or reads one line of standard input; it is not stored");
        one->add_option("--timeout", seconds, "Seconds after which it ends, whatever hangs")
            ->check(CLI::Range(1.0, 30.0))
            ->default_str("30");
        one->footer("Exit codes: 0 accepted by the server, 1 not, or an error, 2 wrong command line, or something must "
                    "be given first");
    }
    command(*test, "list", "Shows the tests that were sent, the newest last", options, chosen,
            [&] { return commands::test_list(options, limit); })
        ->add_option("--limit", limit, "How many at most")
        ->capture_default_str()
        ->check(CLI::Range(1, 10'000));
}

void add_send_command(CLI::App& app, Options& options, Action& chosen)
{
    static commands::SendArguments arguments;
    static std::int64_t timeout = arguments.timeout.count();
    CLI::App* const send =
        command(app, "send", "Enqueues one message, from arguments, a file or standard input", options, chosen, [&] {
            arguments.timeout = std::chrono::seconds(timeout);
            return commands::send(options, arguments);
        });
    send->add_option("--file", arguments.file,
                     "The message as JSON, as for mailroom.enqueue; - is standard input; arguments go over it")
        ->type_name("FILE");
    send->add_option("--user", arguments.user, "The posting user's code");
    send->add_option("--form", arguments.form, "The code of a form, report or other document kind");
    send->add_option("--model", arguments.model, "The code of a dispatch model")->excludes("--form");
    send->add_option("--to", arguments.to, "Recipient, \"Name <address>\" or an address; several are allowed");
    send->add_option("--cc", arguments.cc, "Recipient of a copy");
    send->add_option("--bcc", arguments.bcc, "Recipient of a blind copy");
    send->add_option("--reply-to", arguments.reply_to, "Where answers go");
    send->add_option("--subject", arguments.subject, "Subject");
    send->add_option("--text", arguments.text, "Body as plain text");
    send->add_option("--text-file", arguments.text_file, "File with the body as plain text (UTF-8)")
        ->type_name("FILE")
        ->excludes("--text");
    send->add_option("--html-file", arguments.html_file, "File with the body as HTML (UTF-8)")->type_name("FILE");
    send->add_option("--attach", arguments.attach, "File to attach; several are allowed")->type_name("FILE");
    send->add_option("--inline", arguments.inline_images, "Image that the HTML shows as cid:ID")->type_name("ID=FILE");
    send->add_option("--header", arguments.headers, "Further header, \"Name: value\"");
    send->add_option("--document", arguments.document, "Reference to the ERP's document");
    send->add_option("--batch", arguments.batch,
                     "Batch it belongs to; its lane is then bulk unless --lane says otherwise");
    send->add_option("--key", arguments.key, "Idempotency key: the same message with the same key is enqueued once");
    send->add_option("--lane", arguments.lane, "urgent, normal or bulk");
    send->add_option("--not-before", arguments.not_before,
                     "Time before which it is not sent (2026-12-31T18:00:00+01:00)");
    send->add_option("--expires-at", arguments.expires_at, "Time after which it is not sent any more");
    send->add_flag("--wait", arguments.wait, "Follow it to its end and say so by the exit code");
    send->add_option("--timeout", timeout, "Seconds that --wait waits")
        ->capture_default_str()
        ->check(CLI::Range(1, 1'000'000));
    send->footer(exit_codes);
}

void add_filter(CLI::App* app, commands::Filter& filter)
{
    app->add_option("uid", filter.uids, "Messages by uid");
    const auto any_of = [app](const char* name, std::vector<std::string>& values, const char* description) {
        app->add_option(name, values, description)
            ->allow_extra_args(false)
            ->group("Filter (all that is given must be so)");
    };
    any_of("--batch", filter.batches, "Of a batch; this and the next may be given more than once: any of them");
    any_of("--user", filter.users, "Of a posting user, by code");
    any_of("--form", filter.forms, "Of a form, report or other document kind, by code");
    any_of("--model", filter.models, "Of a dispatch model, by code");
    any_of("--route", filter.routes, "At a route or in a hold, as `mailroom queue` names it, or at an account's route");
    any_of("--reason", filter.reasons, "Why it waits: no_user, account_blocked, operator_hold ...");
    any_of("--state", filter.states, "ready, sending, deferred, scheduled, in_doubt, held or cancelled");
    any_of("--lane", filter.lanes, "urgent, normal or bulk");
    any_of("--recipient", filter.recipients, "To, cc or bcc this address");
    app->add_flag("--all", filter.all, "Every live message")->group("Filter (all that is given must be so)");
    app->add_option("--older-than", filter.older_than, "Enqueued so long ago or longer: 2h, \"3 days\"")
        ->group("Filter (all that is given must be so)");
    app->add_option("--newer-than", filter.newer_than, "Enqueued less long ago")
        ->group("Filter (all that is given must be so)");
}

constexpr const char* operator_exit_codes =
    R"(Exit codes: 0 done, counted, or no message matches; 1 an error, a no, a uid that is not in the queue, or none of the
messages that match could be changed; 2 wrong command line or filter, or --yes is missing where nobody can be asked)";

void add_consent(CLI::App* app, commands::Consent& consent)
{
    CLI::Option* const yes = app->add_flag_callback(
        "--yes", [&consent] { consent = commands::Consent::given; }, "Do not ask");
    app->add_flag_callback(
           "--dry-run", [&consent] { consent = commands::Consent::only_count; }, "Only count what would be changed")
        ->excludes(yes);
    app->footer(operator_exit_codes);
}

void add_operator_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Operation operation;
    static commands::Page page;
    CLI::App* const list = command(app, "list", "Lists live messages: where each stands, why and until when", options,
                                   chosen, [&] { return commands::list(options, operation.filter, page); });
    add_filter(list, operation.filter);
    list->add_option("--limit", page.limit, "How many at most")->capture_default_str()->check(CLI::Range(1, 10'000));
    list->add_option("--after", page.after, "From behind this id on, as the page before said");

    const auto action = [&](const char* name, const char* description) {
        CLI::App* const added = command(app, name, description, options, chosen, [&options, name] {
            operation.action = name;
            return commands::operate(options, operation);
        });
        add_filter(added, operation.filter);
        added->add_option("--note", operation.note, "Why, for the messages' stories");
        add_consent(added, operation.consent);
        return added;
    };
    action("retry", "Makes due now what waits for its next try or at its account")
        ->add_flag("--now", operation.now, "Also what is scheduled: its time is forgotten");
    action("cancel", "Ends what waits; what is being sent is not tried again");
    action("hold", "Holds what waits until an operator releases it");
    CLI::App* const release =
        action("release", "Lets go what is held, for whatever reason; what is in doubt is sent again");
    CLI::Option* const keep = release->add_flag_callback(
        "--keep-identity", [] { operation.identity = "keep"; },
        "Held as identity_changed: goes if the settings give the old sender again");
    release
        ->add_flag_callback(
            "--new-identity", [] { operation.identity = "new"; },
            "Held as identity_changed: the rest goes under the sender that the settings give now")
        ->excludes(keep);
    CLI::App* const reassign = action("reassign", "Names another user, form or model, and sorts again");
    reassign->add_option("--to-user", operation.user, "The user who is to send it");
    reassign->add_option("--to-form", operation.form, "The form whose address is to send it; for mass mail");
    reassign->add_option("--to-model", operation.model, "The model whose address is to send it; for dispatch mail");
}

void add_doubt_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Operation operation;
    static commands::Page page;
    CLI::App* const doubt = app.add_subcommand("doubt", "Messages that may have been sent or not");
    doubt->require_subcommand(1);
    CLI::App* const list = command(*doubt, "list", "Shows each, with the attempt that left it so", options, chosen,
                                   [&] { return commands::doubt_list(options, page); });
    list->add_option("--limit", page.limit, "How many at most")->capture_default_str()->check(CLI::Range(1, 10'000));
    list->add_option("--after", page.after, "From behind this id on, as the page before said");
    CLI::App* const settle =
        command(*doubt, "settle", "Says what became of them, when somebody has found out", options, chosen, [&] {
            operation.action = "settle";
            if (operation.outcome.empty())
                return commands::complain(options, "was it sent? Add --sent or --not-sent", commands::Exit::usage);
            return commands::operate(options, operation);
        });
    add_filter(settle, operation.filter);
    CLI::Option* const sent = settle->add_flag_callback(
        "--sent", [] { operation.outcome = "sent"; }, "They were: they end as sent");
    settle
        ->add_flag_callback(
            "--not-sent", [] { operation.outcome = "not_sent"; },
            "They were not: they go again, and are no possible duplicates")
        ->excludes(sent);
    settle->add_option("--note", operation.note, "How that is known, for the messages' stories");
    add_consent(settle, operation.consent);
}

void add_recover_command(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Recovering recovering;
    CLI::App* const recover =
        command(app, "recover", "After a restore from a backup: what was sent since is not sent again, or is in doubt",
                options, chosen, [&] { return commands::recover(options, recovering); });
    recover
        ->add_option("--journals", recovering.journals,
                     "Folder of journals; one for each machine that served the database. Default: that of the settings "
                     "file")
        ->type_name("FOLDER");
    recover->add_flag("--complete", recovering.is_complete,
                      "These are the journals of all machines, and reach back to the backup: what they do not name was "
                      "not sent and goes on");
    add_consent(recover, recovering.consent);
    recover->footer("To be run as the database's owner, with all daemons stopped (docs/upgrade-and-backup.md).\nExit "
                    "codes: 0 done or counted; 1 an error or a no; 2 wrong command line, or --yes is missing");
}

void add_batch_commands(CLI::App& app, Options& options, Action& chosen)
{
    static std::string name;
    static commands::Consent consent = commands::Consent::ask;
    CLI::App* const batch = app.add_subcommand("batch", "Batches as a whole, also what of them comes later");
    batch->require_subcommand(1);
    command(*batch, "list", "Shows the batches of which something waits, or that are held", options, chosen,
            [&] { return commands::batch_list(options); });
    for (const auto& [action, description] :
         {std::pair{"hold", "Holds what waits of a batch, and what of it is enqueued later"},
          std::pair{"release", "Lets a held batch go"}, std::pair{"cancel", "Ends what waits of a batch"}}) {
        CLI::App* const added = command(*batch, action, description, options, chosen, [&options, action = action] {
            return commands::batch_change(options, action, name, consent);
        });
        added->add_option("name", name, "The batch")->required();
        add_consent(added, consent);
    }
}

void add_events_command(CLI::App& app, Options& options, Action& chosen)
{
    static commands::EventFilter filter;
    CLI::App* const events = command(app, "events", "Shows what an operator must know and do, the newest last", options,
                                     chosen, [&] { return commands::events(options, filter); });
    events->add_flag("--all", filter.all, "Also what has ended");
    events->add_option("--since", filter.since, "What was open at some time in the last 2h, \"3 days\"");
    events->add_option("--limit", filter.limit, "How many at most")
        ->capture_default_str()
        ->check(CLI::Range(1, 10'000));
    events->add_flag("--follow", filter.follow, "Go on, and show what begins and ends");
}

void add_limit_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::LimitTarget target;
    static std::vector<std::string> assignments;
    CLI::App* const limit = app.add_subcommand("limit", "What servers let their accounts do");
    limit->require_subcommand(1);
    command(*limit, "list", "Shows the limits", options, chosen, [&] { return commands::limit_list(options); });
    CLI::App* const set = command(*limit, "set",
                                  "Saves limits: limit set smtp.example.com messages_per_minute=30 connections=3 "
                                  "recipients_per_day=10000 (0: none)",
                                  options, chosen, [&] { return commands::limit_set(options, target, assignments); });
    set->add_option("server", target.server, "Host name")->required();
    set->add_option("settings", assignments, "name=value ...")->required();
    CLI::App* const remove = command(*limit, "remove", "Removes limits", options, chosen,
                                     [&] { return commands::limit_remove(options, target); });
    remove->add_option("server", target.server, "Host name")->required();
    for (CLI::App* const one : {set, remove})
        one->add_option("--login", target.login, "For one login only; otherwise for each that has none of its own");
}

void add_explain_command(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Explaining explaining;
    CLI::App* const explain =
        command(app, "explain", "Says who sends a message and as whom, step by step, or why it waits", options, chosen,
                [&] { return commands::explain_sender(options, explaining); });
    explain->add_option("message", explaining.uid, "The uid of a message that waits");
    explain->add_option("--user", explaining.user, "A message that this user would post, by the user's code");
    explain->add_option("--form", explaining.form, "It names this form, report or other document kind");
    explain->add_option("--model", explaining.model, "It names this dispatch model");
    explain->add_flag("--mobile", explaining.mobile, "MOBILE posts it");
    explain
        ->add_option("--settings", explaining.settings,
                     "An export of the mail settings, as JSON; the database is not asked")
        ->type_name("FILE");
    explain
        ->add_option("--messages", explaining.messages,
                     "The messages, a JSON object a line; - is standard input; needs --settings")
        ->type_name("FILE");
    explain
        ->add_option("--status", explaining.status,
                     "What is known of accounts, refusals and desktops, as JSON; with --settings")
        ->type_name("FILE");
    explain->footer(
        "docs/explain.md has the formats of the files.\nExit codes: 0 explained, also where the answer is a "
        "hold; 1 an error; 2 wrong command line or file");
}

void add_looking_commands(CLI::App& app, Options& options, Action& chosen)
{
    static commands::Examination examination;
    static commands::Watching watching;
    static double seconds = 2;
    CLI::App* const doctor =
        command(app, "doctor", "Examines everything and says of each trouble what to do; sends no message", options,
                chosen, [&] { return commands::doctor(options, examination); });
    doctor->add_option("--account", examination.accounts,
                       "Only this account's mail server: general, or a user's code; several are allowed");
    doctor->add_flag_callback(
        "--no-mail-servers", [] { examination.servers = commands::MailServers::leave; }, "Contact no mail server");
    doctor->footer(
        "Exit codes: 0 no problem (there may be warnings), 1 problems, 2 wrong command line or settings file");

    CLI::App* const top = command(
        app, "top", "Shows the queue live: depth, rates, accounts, holds, dispatchers; q quits", options, chosen, [&] {
            watching.interval = std::chrono::milliseconds(std::llround(seconds * 1000));
            return commands::top(options, watching);
        });
    const std::map<std::string, double> units{{"ms", 0.001}, {"s", 1}, {"m", 60}};
    top->add_option("--interval", seconds, "How often it looks: 500ms, 2s, 1m")
        ->transform(CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE))
        ->check(CLI::Range(0.2, 3600.0))
        ->default_str("2s");
    top->add_flag("--once", watching.once, "One page and no more, as where standard output is no terminal");
}

} // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what throws before the try is a broken program
int main(int argc, char** argv)
{
    host::forbid_core_dumps();
    Options options;
    Action chosen;
    std::string key_file;
    std::string uid;
    const char* const from_environment = std::getenv("MAILROOM_CONFIG");
    options.config_path = from_environment != nullptr ? from_environment : "/etc/mailroom/mailroom.toml";

    CLI::App app(about, "mailroom");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("mailroom " MAILROOM_VERSION));
    app.add_option("--config", options.config_path, "The service's settings file (or $MAILROOM_CONFIG)")
        ->capture_default_str()
        ->type_name("FILE");
    app.add_option("--database", options.database, "Connection string of the database, instead of the settings file's");
    app.add_flag_callback(
        "--json", [&options] { options.output = commands::Output::json; }, "Print JSON, for scripts");
    app.footer(exit_codes);
    app.fallthrough();

    command(app, "serve", "Drains the queue until it is told to stop (SIGTERM, Ctrl-C)", options, chosen,
            [&] { return commands::serve(options); });
    command(app, "migrate", "Makes or updates the database's schema", options, chosen,
            [&] { return commands::migrate(options); });
    command(app, "adopt", "Takes over a database that was copied from another installation; holds all that waits",
            options, chosen, [&] { return commands::adopt(options); });
    add_recover_command(app, options, chosen);
    CLI::App* const config = app.add_subcommand("config", "The service's settings file and key");
    config->require_subcommand(1);
    command(*config, "check", "Checks the settings file and what it names, without starting", options, chosen,
            [&] { return commands::config_check(options); });
    command(*config, "new-key", "Writes a new key to seal passwords with", options, chosen,
            [&] { return commands::config_new_key(options, key_file); })
        ->add_option("file", key_file, "Where to write it")
        ->required()
        ->type_name("FILE");
    add_key_commands(app, options, chosen);
    add_account_commands(app, options, chosen);
    add_settings_commands(app, options, chosen);
    add_test_commands(app, options, chosen);
    add_send_command(app, options, chosen);
    bool only_held = false;
    command(app, "queue", "Shows what waits, where and why", options, chosen, [&] {
        return only_held ? commands::queue_held(options) : commands::queue_depth(options);
    })->add_flag("--held", only_held, "Only what is held, by reason: how much, since when, and what ends it");
    command(app, "show", "Tells a message's story: who sends it and why, each attempt, each recipient", options, chosen,
            [&] { return commands::show(options, uid); })
        ->add_option("uid", uid, "The message's uid")
        ->required();
    add_explain_command(app, options, chosen);
    add_looking_commands(app, options, chosen);
    add_operator_commands(app, options, chosen);
    add_doubt_commands(app, options, chosen);
    add_batch_commands(app, options, chosen);
    add_limit_commands(app, options, chosen);
    add_events_command(app, options, chosen);

    if (argc == 3 && std::string_view(argv[1]) == "--generate") // for packages: not a thing to ask --help for
        return command_line::generate(app, argv[2]);
    try {
        app.parse(argc, argv);
        return chosen();
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? commands::Exit::ok : commands::Exit::usage;
    } catch (const std::exception& error) {
        return commands::complain(options, error.what());
    }
}
