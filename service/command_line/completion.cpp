#include "service/command_line/completion.hpp"

#include <fmt/format.h>

#include <map>
#include <string_view>

namespace mailroom::command_line {

namespace {

// The tables before it are keyed by command ("mailroom account set"), `values` also by "command --option".
constexpr std::string_view search = R"(
    local command=mailroom current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word wanted="" index
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $word == -* ]]; then
            if [[ ${values[$command $word]:-${values[mailroom $word]:-}} ]]; then ((index++)); fi # the next is its value
        elif [[ " ${commands[$command]:-} " == *" $word "* ]]; then
            command+=" $word"
        fi
    done
    if [[ $previous == -* ]]; then wanted=${values[$command $previous]:-${values[mailroom $previous]:-}}; fi
    if [[ ! $wanted ]]; then
        if [[ $current == -* ]]; then
            wanted="${options[$command]:-} ${options[mailroom]}"
        else
            wanted="${commands[$command]:-} ${values[$command]:-}"
        fi
    fi
    COMPREPLY=()
    case $wanted in
    *@file*)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        ;;
    *@any*) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$wanted" -- "$current") ;;
    esac
}
complete -F _mailroom mailroom
)";

using Table = std::map<std::string, std::string>;

void add(std::string& words, std::string_view word)
{
    words += words.empty() ? "" : " ";
    words += word;
}

std::string values_of(const Argument& argument)
{
    if (!argument.choices.empty())
        return fmt::format("{}", fmt::join(argument.choices, " "));
    return argument.value == "FILE" ? "@file" : "@any";
}

void fill(const Command& command, Table& commands, Table& options, Table& values)
{
    for (const Command& below : command.commands) {
        add(commands[command.name], std::string_view(below.name).substr(command.name.size() + 1));
        fill(below, commands, options, values);
    }
    for (const Argument& option : command.options) {
        add(options[command.name], option.names.back());
        for (const std::string& name : option.names) {
            if (!option.value.empty())
                values[command.name + " " + name] = values_of(option);
        }
    }
    if (!command.words.empty()) // those that follow are free text
        values[command.name] = values_of(command.words.front());
}

std::string table(std::string_view name, const Table& rows)
{
    std::string out = fmt::format("    local -A {}=(\n", name);
    for (const auto& [key, words] : rows)
        out += fmt::format("        ['{}']='{}'\n", key, words);
    return out + "    )\n";
}

} // namespace

std::string bash_completion(const Command& root)
{
    Table commands;
    Table options;
    Table values;
    fill(root, commands, options, values);
    return "# shellcheck shell=bash\n# Completion for mailroom, made from its command line.\n_mailroom()\n{\n" +
           table("commands", commands) + table("options", options) + table("values", values) +
           std::string(search.substr(1));
}

} // namespace mailroom::command_line
