// Completion for bash: commands, options, the choices of both, and files where a file is wanted. It asks no database.
#pragma once

#include "service/command_line/tree.hpp"

#include <string>

namespace mailroom::command_line {

std::string bash_completion(const Command& root);

} // namespace mailroom::command_line
