// What an examination finds: one line for a check of one thing. Values only; service/commands prints them.
#pragma once

#include <boost/json/object.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace mailroom::doctor {

enum class Level { ok, not_checked, warning, problem }; // a problem: mail does not go, or will not for long

struct Finding {
    std::string check;   // stable, for programs: settings, key, database ...
    std::string subject; // what it is about: a file, a server, an account; may be empty
    Level level = Level::ok;
    std::string text;   // what is so, or what is wrong
    std::string remedy; // what to do; empty: nothing, or the text says it
};
using Findings = std::vector<Finding>;

Finding fine(std::string_view check, std::string_view subject, std::string text);
Finding warning(std::string_view check, std::string_view subject, std::string text, std::string remedy);
Finding problem(std::string_view check, std::string_view subject, std::string text, std::string remedy = {});
Finding not_checked(std::string_view check, std::string_view subject, std::string_view because);

// Of each check the worst first, at most `most`, and how many more there are. Those of a check stand together.
Findings the_first(const Findings& findings, std::size_t most);

std::string_view to_string(Level level);
boost::json::object to_json(const Finding& finding);
std::string to_lines(const Finding& finding); // for people, each line ended

} // namespace mailroom::doctor
