#include "service/command_line/generate.hpp"

#include "service/command_line/completion.hpp"
#include "service/command_line/manual.hpp"
#include "service/command_line/tree.hpp"
#include "service/commands/command.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace mailroom::command_line {

int generate(const CLI::App& app, std::string_view what)
{
    if (what == "man") {
        fmt::print("{}", manual(read(app), MAILROOM_VERSION));
    } else if (what == "bash-completion") {
        fmt::print("{}", bash_completion(read(app)));
    } else {
        fmt::print(stderr, "--generate knows man and bash-completion, not {}\n", what);
        return commands::Exit::usage;
    }
    if (std::fflush(stdout) == 0)
        return commands::Exit::ok;
    std::perror("standard output");
    return commands::Exit::failed;
}

} // namespace mailroom::command_line
