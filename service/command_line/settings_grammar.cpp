#include "service/command_line/grammar.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailroom::command_line {
namespace {

void add_target(CLI::App* app, commands::Target& target, const std::vector<std::string>& kinds)
{
    app->add_option("kind", target.kind, "Whose settings")->required()->check(CLI::IsMember(kinds));
    app->add_option("code", target.code, "The code of the user, form or model");
}

bool has_right_code(const commands::Target& target)
{
    return target.kind.empty() || (target.kind == "general") == target.code.empty();
}

Action with_target(const Line& line, const commands::Target& target, std::function<int()> action)
{
    return [&line, &target, action = std::move(action)] {
        if (has_right_code(target))
            return action();
        return commands::complain(line.options,
                                  target.code.empty() ? fmt::format("{} which? Give its code", target.kind)
                                                      : "general has no code",
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

void add_account_commands(CLI::App& app, Line& line)
{
    static commands::Target target;
    static commands::Saving saving;
    CLI::App* const account = app.add_subcommand("account", "The mail settings: who sends, by which server, as whom");
    account->require_subcommand(1);
    command(*account, "list", "Shows General, users, forms and models", line,
            [&] { return commands::account_list(line.options); });
    CLI::App* const set =
        command(*account, "set", "Saves settings: account set user ANNA email=anna@example.com mode=smtp", line,
                with_target(line, target, [&] { return commands::account_set(line.options, target, saving); }));
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
        command(*account, "password", "Stores a password: asks twice, or reads one line of standard input", line,
                with_target(line, target, [&] { return commands::account_password(line.options, target); }));
    add_target(password, target, {"general", "user"});
    CLI::App* const probe =
        command(*account, "probe", "Tries a paused account again", line,
                with_target(line, target, [&] { return commands::account_probe(line.options, target); }));
    add_target(probe, target, {"general", "user"});
}

void add_commands_of_settings(CLI::App& app, Line& line)
{
    static commands::Target target;
    static commands::SettingsFile file;
    static commands::Applying applying;
    static commands::Consent consent = commands::Consent::ask;
    static commands::Deletion deletion;
    static commands::Page page;
    static std::vector<std::string> words;
    CLI::App* const settings = app.add_subcommand("settings", "All mail settings: shown, exported, applied, recorded");
    settings->require_subcommand(1);

    CLI::App* const show =
        command(*settings, "show", "Shows each setting with its value and where it comes from", line,
                with_target(line, target, [&line] { return commands::settings_show(line.options, target); }));
    show->add_option("kind", target.kind, "general, user, form or model; without it all of them")
        ->check(CLI::IsMember({"general", "user", "form", "model"}));
    show->add_option("code", target.code, "The code of the user, form or model");

    CLI::App* const exported =
        command(*settings, "export", "Writes all settings but secrets to a file, or to standard output", line,
                [&line] { return commands::settings_export(line.options, file); });
    exported->add_option("file", file.path, "Where to write it")->type_name("FILE");
    exported->add_option("--format", file.format, "Otherwise as the file is called, or json")
        ->check(CLI::IsMember({"json", "toml", "csv"}));
    exported->add_option("--kind", file.kind, "What a table (CSV) is of")
        ->check(CLI::IsMember({"user", "form", "model"}));

    CLI::App* const apply = command(*settings, "apply", "Saves what a file names: all of it, or nothing", line,
                                    [&line] { return commands::settings_apply(line.options, applying); });
    apply->add_option("file", applying.file.path, "An export, or a table; - is standard input")
        ->required()
        ->type_name("FILE");
    apply->add_option("--format", applying.file.format, "Otherwise as the file is called, or json")
        ->check(CLI::IsMember({"json", "toml", "csv"}));
    apply->add_option("--kind", applying.file.kind, "What a table (CSV) is of")
        ->check(CLI::IsMember({"user", "form", "model"}));
    apply->add_flag("--any-version", applying.any_version,
                    "Also if somebody has changed the settings since the file was exported");
    add_settings_consent(apply, applying.consent);

    CLI::App* const remove = command(
        *settings, "delete", "Deletes a user, form or model", line,
        with_target(line, target, [&line] { return commands::settings_delete(line.options, target, deletion); }));
    add_target(remove, target, {"user", "form", "model"});
    remove->add_flag("--hold", deletion.holds, "Also if messages wait for it: they are held");
    add_if_version(remove, deletion.if_version);
    add_settings_consent(remove, deletion.consent);

    CLI::App* const copy = command(*settings, "copy", "Makes a user with the settings of another, without secrets",
                                   line, [&line] { return commands::settings_copy(line.options, words, consent); });
    copy->add_option("kind", target.kind, "user")->required()->check(CLI::IsMember(std::vector<std::string>{"user"}));
    copy->add_option("words", words, "The code of the one, that of the new one, then name=value ... of its own")
        ->required()
        ->expected(2, 100);
    copy->add_flag_callback(
        "--dry-run", [] { consent = commands::Consent::only_count; }, "Save nothing; say whose sender would differ");

    CLI::App* const history = command(*settings, "history", "Shows who changed what, the newest first", line,
                                      [&line] { return commands::settings_history(line.options, page); });
    history->add_option("--limit", page.limit, "How many at most")->capture_default_str()->check(CLI::Range(1, 10'000));
    history->add_option("--before", page.after, "Older than this id, as the page before said");
}

void add_test_commands(CLI::App& app, Line& line)
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
        CLI::App* const one = command(*test, kind, description, line, [&line, kind = kind] {
            testing.target.kind = kind;
            testing.timeout = std::chrono::milliseconds(std::llround(seconds * 1000));
            return commands::test_send(line.options, testing);
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
    command(*test, "list", "Shows the tests that were sent, the newest last", line,
            [&] { return commands::test_list(line.options, limit); })
        ->add_option("--limit", limit, "How many at most")
        ->capture_default_str()
        ->check(CLI::Range(1, 10'000));
}

void add_limit_commands(CLI::App& app, Line& line)
{
    static commands::LimitTarget target;
    static std::vector<std::string> assignments;
    CLI::App* const limit = app.add_subcommand("limit", "What servers let their accounts do");
    limit->require_subcommand(1);
    command(*limit, "list", "Shows the limits", line, [&] { return commands::limit_list(line.options); });
    CLI::App* const set = command(*limit, "set",
                                  "Saves limits: limit set smtp.example.com messages_per_minute=30 connections=3 "
                                  "recipients_per_day=10000 (0: none)",
                                  line, [&] { return commands::limit_set(line.options, target, assignments); });
    set->add_option("server", target.server, "Host name")->required();
    set->add_option("settings", assignments, "name=value ...")->required();
    CLI::App* const remove =
        command(*limit, "remove", "Removes limits", line, [&] { return commands::limit_remove(line.options, target); });
    remove->add_option("server", target.server, "Host name")->required();
    for (CLI::App* const one : {set, remove})
        one->add_option("--login", target.login, "For one login only; otherwise for each that has none of its own");
}

} // namespace

void add_settings_commands(CLI::App& app, Line& line)
{
    add_account_commands(app, line);
    add_commands_of_settings(app, line);
    add_test_commands(app, line);
    add_limit_commands(app, line);
}

} // namespace mailroom::command_line
