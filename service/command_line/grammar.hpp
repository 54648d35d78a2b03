// What the command line may say: the commands with their options, by topic. Each function adds its commands, which
// choose their action.
#pragma once

#include "service/commands/commands.hpp"

#include <functional>

namespace CLI { // NOLINT(readability-identifier-naming): its own name
class App;
}

namespace mailroom::command_line {

using Action = std::function<int()>;

// What reading the command line leaves behind. It outlives the grammar, which writes into it.
struct Line {
    commands::Options options;
    Action chosen;
};

inline constexpr const char* exit_codes = R"(Exit codes: 0 done, 1 error, 2 wrong command line or settings file;
send --wait: 0 sent, 3 held, 4 failed or partly sent, 5 in doubt, 6 not at its end within --timeout)";

// A command whose --json is its own, so that it may stand before or behind the name.
CLI::App* command(CLI::App& parent, const char* name, const char* description, Line& line, Action action);

void add_service_commands(CLI::App& app, Line& line);  // serve, migrate, adopt, config, key
void add_settings_commands(CLI::App& app, Line& line); // account, settings, test, limit
void add_queue_commands(CLI::App& app, Line& line);    // send, queue, show, list, retry ... doubt, batch, recover
void add_looking_commands(CLI::App& app, Line& line);  // explain, doctor, top, events

} // namespace mailroom::command_line
