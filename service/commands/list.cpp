// Live messages, a line each: where each stands, why and until when. Never what they say.
#include "queue/sql.hpp"
#include "service/commands/commands.hpp"
#include "service/commands/filter.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

std::string age(std::int64_t seconds)
{
    const std::int64_t minutes = seconds / 60;
    if (minutes < 1)
        return fmt::format("{}s", seconds);
    if (minutes < 60)
        return fmt::format("{}m", minutes);
    if (minutes < 48 * 60)
        return fmt::format("{}h", minutes / 60);
    return fmt::format("{}d", minutes / 60 / 24);
}

std::string why(const json::value& message)
{
    const std::string reason = text_at(message, "reason");
    const std::string subject = text_at(message, "subject");
    return subject.empty() ? reason : fmt::format("{} ({})", reason, subject);
}

void print_messages(const json::value& page)
{
    if (page.at("messages").as_array().empty())
        fmt::print("no message matches\n");
    else
        fmt::print("{:<36} {:<9} {:>4} {:<20} {:>4} {:<12} {:<16} {}\n", "UID", "STATE", "AGE", "UNTIL", "TO", "USER",
                   "BATCH", "WHY");
    for (const auto& message : page.at("messages").as_array())
        fmt::print("{:<36} {:<9} {:>4} {:<20} {:>4} {:<12} {:<16} {}\n", text_at(message, "uid"),
                   text_at(message, "state"), age(message.at("age").as_int64()), short_time(text_at(message, "until")),
                   text_at(message, "recipients"), text_at(message, "user"), text_at(message, "batch"), why(message));
    if (const std::string next = text_at(page, "next"); !next.empty())
        fmt::print("there may be more: --after {}\n", next);
}

} // namespace

int list(const Options& options, Filter filter, const Page& page)
{
    if (filter_json(filter).empty())
        filter.all = true;
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto listed = call_json(
        *connection, queue::sql("list").sql,
        pg::Params().text(json::serialize(filter_json(filter))).number(page.after).number(page.limit), search_limit);
    if (!listed)
        return complain_about(options, "listing messages", listed.error());
    if (options.output == Output::json)
        print_json(*listed);
    else
        print_messages(*listed);
    return Exit::ok;
}

} // namespace mailroom::commands
