// What servers let their accounts do: how much of it mailroom makes use of.
#include "service/commands/commands.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

std::string named(const LimitTarget& target)
{
    return target.login == "*" ? target.server + ", each login" : target.server + ", login " + target.login;
}

} // namespace

int limit_list(const Options& options)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto limits = query_json(*connection, "limits");
    if (!limits)
        return complain(options, limits.error().text);
    if (options.output == Output::json) {
        print_json(*limits);
        return Exit::ok;
    }
    fmt::print("{:<30} {:<30} {:>15} {:>11} {:>16}\n", "SERVER", "LOGIN", "MESSAGES/MINUTE", "CONNECTIONS",
               "RECIPIENTS/24 H");
    const auto number = [](const json::value& limit, const char* key) {
        return limit.at(key).as_int64() == 0 ? std::string("-") : grouped(limit.at(key).as_int64());
    };
    for (const auto& limit : limits->at("limits").as_array())
        fmt::print("{:<30} {:<30} {:>15} {:>11} {:>16}\n", text_at(limit, "server"), text_at(limit, "login"),
                   number(limit, "messages_per_minute"), number(limit, "connections"),
                   number(limit, "recipients_per_day"));
    return Exit::ok;
}

int limit_set(const Options& options, const LimitTarget& target, const std::vector<std::string>& assignments)
{
    const auto settings = assignments_json(assignments);
    if (!settings)
        return complain(options, settings.error().text, Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto saved =
        connection->run({"", "SELECT mailroom.save_limits($1, $2, $3::jsonb)"},
                        pg::Params().text(target.server).text(target.login).text(json::serialize(*settings)));
    if (!saved)
        return complain(options, explained("saving the limits of " + target.server, saved.error()).text);
    if (options.output == Output::json)
        print_json({{"saved", target.server}, {"login", target.login}});
    else
        fmt::print("saved the limits of {}\n", named(target));
    return Exit::ok;
}

int limit_remove(const Options& options, const LimitTarget& target)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto removed = connection->run({"", "SELECT mailroom.remove_limits($1, $2)"},
                                         pg::Params().text(target.server).text(target.login));
    if (!removed)
        return complain(options, explained("removing the limits of " + target.server, removed.error()).text);
    if (!removed->truth(0, 0))
        return complain(options, fmt::format("there are no limits of {}: `mailroom limit list` shows which there are",
                                             named(target)));
    if (options.output == Output::json)
        print_json({{"removed", target.server}, {"login", target.login}});
    else
        fmt::print("removed the limits of {}\n", named(target));
    return Exit::ok;
}

} // namespace mailroom::commands
