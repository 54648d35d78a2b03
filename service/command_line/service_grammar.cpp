#include "service/command_line/grammar.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <utility>

namespace mailroom::command_line {

CLI::App* command(CLI::App& parent, const char* name, const char* description, Line& line, Action action)
{
    CLI::App* const app = parent.add_subcommand(name, description);
    app->add_flag_callback(
        "--json", [&line] { line.options.output = commands::Output::json; }, "Print JSON, for scripts");
    app->callback([&line, action = std::move(action)] { line.chosen = action; });
    return app;
}

namespace {

void add_config_commands(CLI::App& app, Line& line)
{
    static std::string key_file;
    CLI::App* const config = app.add_subcommand("config", "The service's settings file and key");
    config->require_subcommand(1);
    command(*config, "check", "Checks the settings file and what it names, without starting", line,
            [&line] { return commands::config_check(line.options); });
    command(*config, "new-key", "Writes a new key to seal passwords with", line,
            [&line] { return commands::config_new_key(line.options, key_file); })
        ->add_option("file", key_file, "Where to write it")
        ->required()
        ->type_name("FILE");
}

void add_key_commands(CLI::App& app, Line& line)
{
    static std::string file;
    static std::string id;
    CLI::App* const key = app.add_subcommand("key", "The keys that passwords are sealed with, and their replacement");
    key->require_subcommand(1);
    const auto add = [&](const char* name, const char* description, Action action) {
        CLI::App* const one = command(*key, name, description, line, std::move(action));
        one->add_option("--file", file, "The key file, instead of the settings file's")->type_name("FILE");
        return one;
    };
    add("list", "Shows which keys there are, what each seals and which dispatchers have it",
        [&line] { return commands::key_list(line.options, file); });
    add("add", "Adds a new key to the key file; nothing is sealed with it yet",
        [&line] { return commands::key_add(line.options, file); });
    add("rotate", "Seals all passwords with the newest key of the file, and what is new from now on", [&line] {
        return commands::key_rotate(line.options, file, id);
    })->add_option("--to", id, "With this key instead of the newest");
    add("drop", "Removes a key from the key file that seals nothing any more",
        [&line] { return commands::key_drop(line.options, file, id); })
        ->add_option("key", id, "Its id, as `mailroom key list` shows it")
        ->required();
}

} // namespace

void add_service_commands(CLI::App& app, Line& line)
{
    command(app, "serve", "Drains the queue until it is told to stop (SIGTERM, Ctrl-C)", line,
            [&line] { return commands::serve(line.options); });
    command(app, "migrate", "Makes or updates the database's schema", line,
            [&line] { return commands::migrate(line.options); });
    command(app, "adopt", "Takes over a database that was copied from another installation; holds all that waits", line,
            [&line] { return commands::adopt(line.options); });
    add_config_commands(app, line);
    add_key_commands(app, line);
}

} // namespace mailroom::command_line
