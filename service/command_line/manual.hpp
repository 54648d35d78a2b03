// mailroom(1), the manual page, as troff source. That of the settings file, mailroom.toml(5), is made from
// docs/configuration.md by packaging/settings_manual.py.
#pragma once

#include "service/command_line/tree.hpp"

#include <string>
#include <string_view>

namespace mailroom::command_line {

// Text as troff takes it for what it is; what stands between backticks is bold.
std::string troff(std::string_view text);

// Has no date, so that the same sources give the same page.
std::string manual(const Command& root, std::string_view version);

} // namespace mailroom::command_line
