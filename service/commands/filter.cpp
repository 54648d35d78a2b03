#include "service/commands/filter.hpp"

#include <boost/json/array.hpp>

namespace mailroom::commands {

namespace json = boost::json;

json::object filter_json(const Filter& filter)
{
    json::object object;
    const auto add = [&](const char* key, const std::vector<std::string>& values) {
        if (!values.empty())
            object.emplace(key, json::array(values.begin(), values.end()));
    };
    add("uid", filter.uids);
    add("batch", filter.batches);
    add("user", filter.users);
    add("form", filter.forms);
    add("model", filter.models);
    add("route", filter.routes);
    add("reason", filter.reasons);
    add("state", filter.states);
    add("lane", filter.lanes);
    add("recipient", filter.recipients);
    if (!filter.older_than.empty())
        object.emplace("older_than", filter.older_than);
    if (!filter.newer_than.empty())
        object.emplace("newer_than", filter.newer_than);
    if (filter.all)
        object.emplace("all", true);
    return object;
}

int complain_about(const Options& options, std::string_view doing, const pg::DbError& error)
{
    return complain(options, explained(doing, error).text, error.sqlstate == "MR005" ? Exit::usage : Exit::failed);
}

} // namespace mailroom::commands
