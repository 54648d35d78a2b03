#include "service/command_line/grammar.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace mailroom::command_line {
namespace {

constexpr const char* operator_exit_codes =
    R"(Exit codes: 0 done, counted, or no message matches; 1 an error, a no, a uid that is not in the queue, or none of the
messages that match could be changed; 2 wrong command line or filter, or --yes is missing where nobody can be asked)";

void add_send_command(CLI::App& app, Line& line)
{
    static commands::SendArguments arguments;
    static std::int64_t timeout = arguments.timeout.count();
    CLI::App* const send =
        command(app, "send", "Enqueues one message, from arguments, a file or standard input", line, [&] {
            arguments.timeout = std::chrono::seconds(timeout);
            return commands::send(line.options, arguments);
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

void add_consent(CLI::App* app, commands::Consent& consent)
{
    CLI::Option* const yes = app->add_flag_callback(
        "--yes", [&consent] { consent = commands::Consent::given; }, "Do not ask");
    app->add_flag_callback(
           "--dry-run", [&consent] { consent = commands::Consent::only_count; }, "Only count what would be changed")
        ->excludes(yes);
    app->footer(operator_exit_codes);
}

void add_operator_commands(CLI::App& app, Line& line)
{
    static commands::Operation operation;
    static commands::Page page;
    CLI::App* const list = command(app, "list", "Lists live messages: where each stands, why and until when", line,
                                   [&] { return commands::list(line.options, operation.filter, page); });
    add_filter(list, operation.filter);
    list->add_option("--limit", page.limit, "How many at most")->capture_default_str()->check(CLI::Range(1, 10'000));
    list->add_option("--after", page.after, "From behind this id on, as the page before said");

    const auto action = [&](const char* name, const char* description) {
        CLI::App* const added = command(app, name, description, line, [&line, name] {
            operation.action = name;
            return commands::operate(line.options, operation);
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

void add_doubt_commands(CLI::App& app, Line& line)
{
    static commands::Operation operation;
    static commands::Page page;
    CLI::App* const doubt = app.add_subcommand("doubt", "Messages that may have been sent or not");
    doubt->require_subcommand(1);
    CLI::App* const list = command(*doubt, "list", "Shows each, with the attempt that left it so", line,
                                   [&] { return commands::doubt_list(line.options, page); });
    list->add_option("--limit", page.limit, "How many at most")->capture_default_str()->check(CLI::Range(1, 10'000));
    list->add_option("--after", page.after, "From behind this id on, as the page before said");
    CLI::App* const settle =
        command(*doubt, "settle", "Says what became of them, when somebody has found out", line, [&] {
            operation.action = "settle";
            if (operation.outcome.empty())
                return commands::complain(line.options, "was it sent? Add --sent or --not-sent", commands::Exit::usage);
            return commands::operate(line.options, operation);
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

void add_recover_command(CLI::App& app, Line& line)
{
    static commands::Recovering recovering;
    CLI::App* const recover =
        command(app, "recover", "After a restore from a backup: what was sent since is not sent again, or is in doubt",
                line, [&] { return commands::recover(line.options, recovering); });
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

void add_batch_commands(CLI::App& app, Line& line)
{
    static std::string name;
    static commands::Consent consent = commands::Consent::ask;
    CLI::App* const batch = app.add_subcommand("batch", "Batches as a whole, also what of them comes later");
    batch->require_subcommand(1);
    command(*batch, "list", "Shows the batches of which something waits, or that are held", line,
            [&] { return commands::batch_list(line.options); });
    for (const auto& [action, description] :
         {std::pair{"hold", "Holds what waits of a batch, and what of it is enqueued later"},
          std::pair{"release", "Lets a held batch go"}, std::pair{"cancel", "Ends what waits of a batch"}}) {
        CLI::App* const added = command(*batch, action, description, line, [&line, action = action] {
            return commands::batch_change(line.options, action, name, consent);
        });
        added->add_option("name", name, "The batch")->required();
        add_consent(added, consent);
    }
}

void add_sights_of_the_queue(CLI::App& app, Line& line)
{
    static bool only_held = false;
    static std::string uid;
    command(app, "queue", "Shows what waits, where and why", line, [&line] {
        return only_held ? commands::queue_held(line.options) : commands::queue_depth(line.options);
    })->add_flag("--held", only_held, "Only what is held, by reason: how much, since when, and what ends it");
    command(app, "show", "Tells a message's story: who sends it and why, each attempt, each recipient", line,
            [&line] { return commands::show(line.options, uid); })
        ->add_option("uid", uid, "The message's uid")
        ->required();
}

} // namespace

void add_queue_commands(CLI::App& app, Line& line)
{
    add_send_command(app, line);
    add_sights_of_the_queue(app, line);
    add_operator_commands(app, line);
    add_doubt_commands(app, line);
    add_batch_commands(app, line);
    add_recover_command(app, line);
}

} // namespace mailroom::command_line
