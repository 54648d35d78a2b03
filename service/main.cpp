// The command line of mailroom: reads the arguments, calls the command, turns what broke into one line and an exit
// code.
#include "service/command_line/generate.hpp"
#include "service/command_line/grammar.hpp"
#include "service/host/core_dumps.hpp"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <string>
#include <string_view>

namespace {

constexpr const char* about = R"(mailroom sends the mail that an ERP puts into its PostgreSQL database.

First steps:
  mailroom config new-key /etc/mailroom/key       a key to seal passwords with
  mailroom config check                           is the settings file right, is the database there?
  mailroom migrate                                makes or updates the schema (as the database's owner)
  mailroom account set general mode=smtp server=mail.example.com account=erp@example.com
  mailroom account password general
  mailroom serve)";

} // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): what throws before the try is a broken program
int main(int argc, char** argv)
{
    using namespace mailroom;
    host::forbid_core_dumps();
    command_line::Line line;
    const char* const from_environment = std::getenv("MAILROOM_CONFIG");
    line.options.config_path = from_environment != nullptr ? from_environment : "/etc/mailroom/mailroom.toml";

    CLI::App app(about, "mailroom");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("mailroom " MAILROOM_VERSION));
    app.add_option("--config", line.options.config_path, "The service's settings file (or $MAILROOM_CONFIG)")
        ->capture_default_str()
        ->type_name("FILE");
    app.add_option("--database", line.options.database,
                   "Connection string of the database, instead of the settings file's");
    app.add_flag_callback(
        "--json", [&line] { line.options.output = commands::Output::json; }, "Print JSON, for scripts");
    app.footer(command_line::exit_codes);
    app.fallthrough();
    command_line::add_service_commands(app, line);
    command_line::add_settings_commands(app, line);
    command_line::add_queue_commands(app, line);
    command_line::add_looking_commands(app, line);

    if (argc == 3 && std::string_view(argv[1]) == "--generate") // for packages: not a thing to ask --help for
        return command_line::generate(app, argv[2]);
    try {
        app.parse(argc, argv);
        return line.chosen();
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? commands::Exit::ok : commands::Exit::usage;
    } catch (const std::exception& error) {
        return commands::complain(line.options, error.what());
    }
}
