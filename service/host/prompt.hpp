// Asks a person: for a secret without showing it, or for a decision.
#pragma once

#include "config/error.hpp"
#include "config/secret.hpp"

#include <string>

namespace mailroom::host {

constexpr std::size_t max_password = 1024; // octets, ours

// At a terminal it asks twice, and both must be equal; otherwise it reads one line of standard input.
Result<Secret> read_new_password(const std::string& prompt, const std::string& again);

// Asks once, for a password that is tried and not stored; without a terminal it reads one line of standard input.
Result<Secret> read_password(const std::string& prompt);

enum class Answer { yes, no, nobody_there };

// Only y or yes is a yes. Where standard input is no terminal, nobody is asked.
Answer ask(const std::string& question);

} // namespace mailroom::host
