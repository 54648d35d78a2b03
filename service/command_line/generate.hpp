// `mailroom --generate man` and `mailroom --generate bash-completion`, for those who build packages. Not in --help.
#pragma once

#include <string_view>

namespace CLI { // NOLINT(readability-identifier-naming): its own name
class App;
}

namespace mailroom::command_line {

// Prints to standard output; the exit code.
int generate(const CLI::App& app, std::string_view what);

} // namespace mailroom::command_line
