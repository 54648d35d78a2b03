#include "service/command_line/manual.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace mailroom::command_line {

namespace {

std::string bold(std::string_view text)
{
    return "\\fB" + troff(text) + "\\fR";
}

std::string italic(std::string_view text)
{
    return "\\fI" + troff(text) + "\\fR";
}

// Lines as they are where they begin with two spaces, as the text of --help shows examples; paragraphs otherwise.
std::string paragraphs(std::string_view text)
{
    std::string out = ".PP\n";
    bool example = false;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        const bool indented = line.starts_with("  ");
        if (indented != example)
            out += indented ? ".RS 4\n.EX\n" : ".EE\n.RE\n.PP\n";
        example = indented;
        out += line.empty() ? ".PP\n" : troff(indented ? line.substr(2) : line) + "\n";
    }
    return out + (example ? ".EE\n.RE\n" : "");
}

std::string signature(const Command& command)
{
    std::string out = command.name;
    for (const Argument& word : command.words) {
        const std::string name = word.names.front() + (word.repeated ? "..." : "");
        out += word.required ? " " + name : " [" + name + "]";
    }
    return out;
}

std::string joined(const std::vector<std::string>& texts, std::string_view between)
{
    return fmt::format("{}", fmt::join(texts, between));
}

bool is_told(const std::vector<std::string>& choices, std::string_view description)
{
    return std::all_of(choices.begin(), choices.end(),
                       [&](const std::string& choice) { return description.find(choice) != std::string_view::npos; });
}

// "--limit INT", and below it what it does (1 to 10000; default: 100).
std::string entry(const Argument& argument)
{
    std::string out = ".TP\n";
    for (const std::string& name : argument.names)
        out += (&name == &argument.names.front() ? "" : ", ") + bold(name);
    if (!argument.value.empty() && argument.names.front().starts_with('-'))
        out += " " + italic(argument.value);
    std::vector<std::string> remarks;
    if (!is_told(argument.choices, argument.description))
        remarks.push_back(joined(argument.choices, ", "));
    if (!argument.range.empty())
        remarks.push_back(argument.range);
    if (!argument.default_value.empty())
        remarks.push_back("default: " + argument.default_value);
    out += "\n" + troff(argument.description);
    return out + (remarks.empty() ? "\n" : " (" + troff(joined(remarks, "; ")) + ")\n");
}

// Writes the page's section COMMANDS. What several commands have in common is written at the first of them.
class Commands {
public:
    explicit Commands(const Command& root) : root_(root) {}

    std::string write()
    {
        seen_[paragraphs(root_.footer)] = ""; // it has a section of its own
        for (const Command& command : root_.commands)
            write(command);
        return out_;
    }

private:
    void write(const Command& command)
    {
        out_ += ".SS " + troff(signature(command)) + "\n" + troff(command.description) + "\n";
        for (const Argument& word : command.words)
            out_ += entry(word);
        std::map<std::string, std::string> groups;
        for (const Argument& option : command.options) {
            if (!is_of_root(option))
                groups[option.group] += entry(option);
        }
        for (const auto& [group, entries] : groups) {
            if (group.empty())
                out_ += entries;
            else
                once(command, group, entries);
        }
        if (!command.footer.empty())
            once(command, "Exit codes", paragraphs(command.footer));
        for (const Command& below : command.commands)
            write(below);
    }

    void once(const Command& command, std::string_view name, const std::string& text)
    {
        const auto [first, is_new] = seen_.emplace(text, command.name);
        if (is_new)
            out_ += name == "Exit codes" ? text : ".PP\n" + italic(name) + "\n" + text;
        else if (!first->second.empty())
            out_ += ".PP\n" + italic(name) + ": as for " + bold(first->second) + ".\n";
    }

    bool is_of_root(const Argument& option) const
    {
        return std::any_of(root_.options.begin(), root_.options.end(),
                           [&](const Argument& one) { return one.names == option.names; });
    }

    const Command& root_;
    std::map<std::string, std::string> seen_; // text -> the command where it stands
    std::string out_;
};

} // namespace

std::string troff(std::string_view text)
{
    std::string out;
    bool quoted = false;
    bool line_begins = true;
    for (const char c : text) {
        switch (c) {
        case '`':
            quoted = !quoted;
            out += quoted ? "\\fB" : "\\fR";
            break;
        case '\\':
            out += "\\(rs";
            break;
        case '-':
            out += "\\-";
            break;
        case '"':
            out += "\\(dq";
            break;
        case '\'':
            out += "\\(aq";
            break;
        case '.':
            out += line_begins ? "\\&." : ".";
            break; // otherwise a request
        default:
            out += c;
        }
        line_begins = c == '\n';
    }
    return out;
}

std::string manual(const Command& root, std::string_view version)
{
    const std::string_view about = root.description;
    const std::string_view first_line = about.substr(0, about.find('\n'));
    std::string_view purpose = first_line; // without the name before it and the full stop behind it
    if (purpose.starts_with(root.name))
        purpose.remove_prefix(root.name.size() + 1);
    if (purpose.ends_with('.'))
        purpose.remove_suffix(1);

    std::string out =
        fmt::format(".TH MAILROOM 1 \"\" \"mailroom {}\" \"mailroom\"\n.nh\n.ad l\n.SH NAME\nmailroom \\- {}\n",
                    troff(version), troff(purpose));
    out += ".SH SYNOPSIS\n.B mailroom\n[\\fIoption\\fR]... \\fIcommand\\fR [\\fIargument\\fR]...\n";
    out += ".SH DESCRIPTION\n" + paragraphs(about);
    out += ".SH OPTIONS\nThese stand before a command or behind it.\n";
    for (const Argument& option : root.options)
        out += entry(option);
    out += ".SH COMMANDS\n" + Commands(root).write();
    out += ".SH EXIT STATUS\n" + paragraphs(root.footer);
    out += ".SH SEE ALSO\n\\fBmailroom.toml\\fR(5), the settings file; "
           "\\fI/usr/share/doc/mailroom\\fR, with operations.md and erp.md\n";
    return out;
}

} // namespace mailroom::command_line
