#include "service/commands/settings_file.hpp"

#include "config/text.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

namespace mailroom::commands {
namespace {

Result<std::string> text_of_settings_file(const std::string& path)
{
    if (path == "-")
        return Result<std::string>(boost::system::in_place_value, std::istreambuf_iterator<char>(std::cin),
                                   std::istreambuf_iterator<char>());
    std::ifstream file(path, std::ios::binary);
    if (!file)
        return Error{std::strerror(errno)};
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (file.bad())
        return Error{"it cannot be read"};
    return Result<std::string>(boost::system::in_place_value, std::move(text));
}

} // namespace

std::string settings_format_of(const SettingsFile& file)
{
    if (!file.format.empty())
        return file.format;
    const std::string extension = ascii_lower(std::filesystem::path(file.path).extension().string());
    return extension == ".toml" ? "toml" : extension == ".csv" ? "csv" : "json";
}

Result<std::string_view> part_of_table(const SettingsFile& file)
{
    if (file.kind.empty())
        return Error{"a table of what? Add --kind user, form or model"};
    return std::string_view(file.kind == "user" ? "users" : file.kind == "form" ? "rows" : "models");
}

namespace {

Result<SettingsTable> parsed_settings_file(const SettingsFile& file)
{
    const auto text = text_of_settings_file(file.path);
    if (!text)
        return text.error();
    if (text->size() > max_settings_file)
        return Error{"it has more than 64 MiB"};
    if (!is_utf8(*text))
        return Error{"it is not UTF-8"};
    const std::string format = settings_format_of(file);
    if (format == "csv") {
        const auto part = part_of_table(file);
        return part ? settings_from_csv(*text, *part) : part.error();
    }
    auto settings = format == "toml" ? settings_from_toml(*text) : settings_from_json(*text);
    if (!settings)
        return settings.error();
    return SettingsTable{*std::move(settings), {}};
}

} // namespace

Result<SettingsTable> read_settings_file(const SettingsFile& file)
{
    auto table = parsed_settings_file(file);
    if (!table)
        return table;
    if (const auto secrets = secrets_in(table->settings); !secrets.empty())
        return Error{
            fmt::format("{}{}: a secret is no setting; nothing was saved. `mailroom account password` asks for it",
                        secrets.front(), secrets.size() > 1 ? " and others" : "")};
    return table;
}

} // namespace mailroom::commands
