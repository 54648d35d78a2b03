// One change of the mail settings by a function of the database: made, after asking where mail would be held by it; or
// only tried, to say who would send differently.
#pragma once

#include "queue/pg/connection.hpp"
#include "service/commands/commands.hpp"

#include <boost/json/value.hpp>

#include <functional>
#include <string>

namespace mailroom::commands {

enum class Confirmed { no, yes };

// A statement with one value: an object of JSON, its "advice" a list of lines.
struct SettingsCall {
    std::string sql;
    pg::Params params;
};
using MakeCall = std::function<SettingsCall(Confirmed)>;

struct SettingsChange {
    std::string doing; // saving user ANNA
    MakeCall call;
    std::function<void(const boost::json::value& result)> report; // where it was made and the output is text or JSON
};

// Consent::only_count: a dry run, in a transaction that is rolled back.
int change_settings(const Options& options, pg::Connection& connection, const SettingsChange& change, Consent consent);

// What the database refused, for people: without what is there for programs.
Error settings_error(std::string_view doing, const pg::DbError& error);

std::string lines_of(const boost::json::value& advice); // one below the other, each after a line end

} // namespace mailroom::commands
