// What is in doubt, with all that helps to find out what became of it. Settling it: commands/operate.
#include "queue/sql.hpp"
#include "service/commands/commands.hpp"
#include "service/commands/filter.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

void print_doubt(const json::value& doubt)
{
    fmt::print("{}  {}", text_at(doubt, "uid"), text_at(doubt, "state"));
    if (const std::string until = text_at(doubt, "until"); !until.empty())
        fmt::print(" until {}, then sent again", short_time(until));
    fmt::print("\n  since {}: {}\n", short_time(text_at(doubt, "since")), text_at(doubt, "note"));
    if (const std::string server = text_at(doubt, "server"); !server.empty())
        fmt::print("  by {} at {}, from {}: {}\n", text_at(doubt, "account"), server, text_at(doubt, "from"),
                   text_at(doubt, "reply"));
    fmt::print("  Message-ID <{}@...>, to {}{}\n", text_at(doubt, "uid"), text_at(doubt, "to"),
               number_at(doubt, "recipients") > 1 ? fmt::format(" and {} more", number_at(doubt, "recipients") - 1)
                                                  : "");
}

} // namespace

int doubt_list(const Options& options, const Page& page)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto listed = call_json(*connection, queue::sql("doubts").sql,
                                  pg::Params().number(page.after).number(page.limit), search_limit);
    if (!listed)
        return complain_about(options, "listing what is in doubt", listed.error());
    if (options.output == Output::json) {
        print_json(*listed);
        return Exit::ok;
    }
    const json::array& doubts = listed->at("doubts").as_array();
    if (doubts.empty())
        fmt::print("nothing is in doubt\n");
    for (const json::value& doubt : doubts)
        print_doubt(doubt);
    if (const std::string next = text_at(*listed, "next"); !next.empty())
        fmt::print("there may be more: --after {}\n", next);
    else if (!doubts.empty())
        fmt::print("ask the recipient, or look for the Message-ID in the server's log; then mailroom doubt settle UID "
                   "--sent or --not-sent\n");
    return Exit::ok;
}

} // namespace mailroom::commands
