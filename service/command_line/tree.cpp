#include "service/command_line/tree.hpp"

#include <CLI/CLI.hpp>

#include <string_view>

namespace mailroom::command_line {

namespace {

// CLI11 tells of what a value may be only in words: "TEXT:{general,user}", "INT:INT in [1 - 10000]".
std::vector<std::string> choices_of(const std::string& type)
{
    const std::size_t open = type.find('{');
    const std::size_t close = type.find('}', open == std::string::npos ? 0 : open);
    if (open == std::string::npos || close == std::string::npos)
        return {};
    return CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
}

std::string range_of(const std::string& type)
{
    constexpr std::string_view begin = " in [";
    const std::size_t open = type.find(begin);
    const std::size_t close = type.find(']', open == std::string::npos ? 0 : open);
    if (open == std::string::npos || close == std::string::npos)
        return {};
    const std::string limits = type.substr(open + begin.size(), close - open - begin.size());
    return CLI::detail::find_and_replace(limits, " - ", " to ");
}

Argument argument_of(const CLI::Option& option)
{
    Argument argument;
    if (option.get_positional()) {
        argument.names.push_back(option.get_name(true));
    } else {
        for (const std::string& name : option.get_snames())
            argument.names.push_back("-" + name);
        for (const std::string& name : option.get_lnames())
            argument.names.push_back("--" + name);
    }
    if (option.get_items_expected_max() > 0) {
        const std::string type = option.get_type_name();
        argument.value = type.substr(0, type.find(':'));
        argument.choices = choices_of(type);
        argument.range = range_of(type);
    }
    argument.default_value = option.get_default_str();
    argument.description = option.get_description();
    argument.group = option.get_group() == "Options" ? "" : option.get_group();
    argument.required = option.get_required();
    argument.repeated = option.get_items_expected_max() > 1;
    return argument;
}

Command command_of(const CLI::App& app, const std::string& before)
{
    Command command;
    command.name = before + app.get_name();
    command.description = app.get_description();
    command.footer = app.get_footer();
    for (const CLI::Option* const option : app.get_options()) {
        if (option->get_group().empty())
            continue; // hidden
        (option->get_positional() ? command.words : command.options).push_back(argument_of(*option));
    }
    for (const CLI::App* const below : app.get_subcommands(std::function<bool(const CLI::App*)>())) {
        if (!below->get_group().empty())
            command.commands.push_back(command_of(*below, command.name + " "));
    }
    return command;
}

} // namespace

Command read(const CLI::App& root)
{
    return command_of(root, "");
}

} // namespace mailroom::command_line
