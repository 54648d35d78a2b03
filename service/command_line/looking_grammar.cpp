#include "service/command_line/grammar.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cmath>
#include <map>
#include <string>

namespace mailroom::command_line {
namespace {

void add_explain_command(CLI::App& app, Line& line)
{
    static commands::Explaining explaining;
    CLI::App* const explain =
        command(app, "explain", "Says who sends a message and as whom, step by step, or why it waits", line,
                [&] { return commands::explain_sender(line.options, explaining); });
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

void add_doctor_and_top(CLI::App& app, Line& line)
{
    static commands::Examination examination;
    static commands::Watching watching;
    static double seconds = 2;
    CLI::App* const doctor =
        command(app, "doctor", "Examines everything and says of each trouble what to do; sends no message", line,
                [&] { return commands::doctor(line.options, examination); });
    doctor->add_option("--account", examination.accounts,
                       "Only this account's mail server: general, or a user's code; several are allowed");
    doctor->add_flag_callback(
        "--no-mail-servers", [] { examination.servers = commands::MailServers::leave; }, "Contact no mail server");
    doctor->footer(
        "Exit codes: 0 no problem (there may be warnings), 1 problems, 2 wrong command line or settings file");

    CLI::App* const top =
        command(app, "top", "Shows the queue live: depth, rates, accounts, holds, dispatchers; q quits", line, [&] {
            watching.interval = std::chrono::milliseconds(std::llround(seconds * 1000));
            return commands::top(line.options, watching);
        });
    const std::map<std::string, double> units{{"ms", 0.001}, {"s", 1}, {"m", 60}};
    top->add_option("--interval", seconds, "How often it looks: 500ms, 2s, 1m")
        ->transform(CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE))
        ->check(CLI::Range(0.2, 3600.0))
        ->default_str("2s");
    top->add_flag("--once", watching.once, "One page and no more, as where standard output is no terminal");
}

void add_events_command(CLI::App& app, Line& line)
{
    static commands::EventFilter filter;
    CLI::App* const events = command(app, "events", "Shows what an operator must know and do, the newest last", line,
                                     [&] { return commands::events(line.options, filter); });
    events->add_flag("--all", filter.all, "Also what has ended");
    events->add_option("--since", filter.since, "What was open at some time in the last 2h, \"3 days\"");
    events->add_option("--limit", filter.limit, "How many at most")
        ->capture_default_str()
        ->check(CLI::Range(1, 10'000));
    events->add_flag("--follow", filter.follow, "Go on, and show what begins and ends");
}

} // namespace

void add_looking_commands(CLI::App& app, Line& line)
{
    add_explain_command(app, line);
    add_doctor_and_top(app, line);
    add_events_command(app, line);
}

} // namespace mailroom::command_line
