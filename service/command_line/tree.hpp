// The command line as data, read from CLI11's tree: what the manual page and the shell's completion are made of, so
// that they say what --help says. What --help hides is not here either.
#pragma once

#include <string>
#include <vector>

namespace CLI { // NOLINT(readability-identifier-naming): its own name
class App;
}

namespace mailroom::command_line {

// An option, or a word that stands in its place.
struct Argument {
    std::vector<std::string> names;   // "-h", "--help"; of a word one: "uid"
    std::string value;                // what it takes: "TEXT", "INT", "FILE"; empty: a flag
    std::vector<std::string> choices; // all that the value may be; none: anything
    std::string range;                // "1 to 10000"; empty: any
    std::string default_value;        // empty: none
    std::string description;
    std::string group; // the heading of --help that it stands under; empty: the usual one
    bool required = false;
    bool repeated = false; // may be given more than once
};

struct Command {
    std::string name; // with those before it: "mailroom account set"
    std::string description;
    std::string footer;
    std::vector<Argument> words; // in their order
    std::vector<Argument> options;
    std::vector<Command> commands;
};

Command read(const CLI::App& root);

} // namespace mailroom::command_line
