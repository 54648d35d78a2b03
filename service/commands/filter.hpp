// A filter of the command line as the database's functions take it. Which of its values exist, they say.
#pragma once

#include "service/commands/commands.hpp"

#include <boost/json/object.hpp>

namespace mailroom::commands {

boost::json::object filter_json(const Filter& filter);

// The error of a function of docs/operations.md, with the exit code that fits: a wrong filter is a wrong command line.
int complain_about(const Options& options, std::string_view doing, const pg::DbError& error);

} // namespace mailroom::commands
