// A file of mail settings as the commands are given one: read as JSON, TOML or a table, whatever it is called.
#pragma once

#include "config/error.hpp"

#include "service/commands/commands.hpp"
#include "service/settings_text.hpp"

#include <string>
#include <string_view>

namespace mailroom::commands {

std::string settings_format_of(const SettingsFile& file); // json, toml or csv

// As the database has it: users, rows or models; nothing: no kind is named.
Result<std::string_view> part_of_table(const SettingsFile& file);

// What import_settings takes: the settings, and of a table the line of each element.
Result<SettingsTable> read_settings_file(const SettingsFile& file);

} // namespace mailroom::commands
