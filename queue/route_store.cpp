#include "queue/route_store.hpp"

#include "queue/json_array.hpp"
#include "queue/sql.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace mailroom::queue {
namespace {

std::optional<std::int32_t> optional_id(const pg::Result& rows, int row, int column)
{
    const auto number = rows.optional_number(row, column);
    return number ? std::optional(static_cast<std::int32_t>(*number)) : std::nullopt;
}

pg::DbResult<void> done(const pg::DbResult<pg::Result>& result)
{
    if (!result)
        return result.error();
    return {};
}

} // namespace

pg::DbResult<PlaceId> place_of(pg::Connection& connection, const RoutePlace& route)
{
    auto rows = connection.run(sql("route"),
                               pg::Params().text(route.key).text(route.account).text(route.owner).truth(route.limited));
    if (!rows)
        return rows.error();
    return static_cast<PlaceId>(rows->number(0, 0));
}

pg::DbResult<std::vector<WaitingRoute>> waiting_routes(pg::Connection& connection, DispatcherId dispatcher)
{
    static const pg::Statement statement = sql("routes");
    auto rows = connection.run(statement, pg::Params().number(dispatcher));
    if (!rows)
        return rows.error();
    std::vector<WaitingRoute> routes;
    routes.reserve(static_cast<std::size_t>(rows->rows()));
    for (int row = 0; row < rows->rows(); ++row)
        routes.push_back({static_cast<PlaceId>(rows->number(row, 0)), std::string(rows->text(row, 1)),
                          std::chrono::milliseconds(rows->number(row, 3)), std::string(rows->text(row, 4)),
                          static_cast<WaitingRoute::OwnedBy>(rows->number(row, 5))});
    return routes;
}

pg::DbResult<bool> own_route(pg::Connection& connection, DispatcherId dispatcher, PlaceId route)
{
    auto rows = connection.run(sql("own_route"), pg::Params().number(dispatcher).number(route));
    if (!rows)
        return rows.error();
    return rows->rows() > 0;
}

pg::DbResult<void> block_route(pg::Connection& connection, PlaceId route, std::chrono::milliseconds limit,
                               const std::string& why)
{
    return done(connection.run(sql("block_route"), pg::Params().number(route).number(limit.count()).text(why)));
}

pg::DbResult<Granted> grant_recipients(pg::Connection& connection, DispatcherId dispatcher, PlaceId route, int wanted,
                                       int limit)
{
    auto rows = connection.run(sql("grant_recipients"),
                               pg::Params().number(dispatcher).number(route).number(wanted).number(limit));
    if (!rows)
        return rows.error();
    return Granted{static_cast<int>(rows->number(0, 0)), std::chrono::milliseconds(rows->number(0, 1))};
}

pg::DbResult<std::vector<HeldAlike>> held_alike(pg::Connection& connection)
{
    auto rows = connection.run(sql("held_alike"));
    if (!rows)
        return rows.error();
    std::vector<HeldAlike> held;
    held.reserve(static_cast<std::size_t>(rows->rows()));
    for (int row = 0; row < rows->rows(); ++row) {
        HeldAlike some{static_cast<PlaceId>(rows->number(row, 0)),
                       std::string(rows->text(row, 1)),
                       {},
                       std::string(rows->text(row, 9)),
                       std::string(rows->text(row, 2))};
        some.message.mobile = rows->number(row, 3) == 1;
        some.message.addressed = rows->truth(row, 4);
        some.message.user_id = optional_id(*rows, row, 5);
        some.message.row_id = optional_id(*rows, row, 6);
        some.message.model_id = optional_id(*rows, row, 7);
        some.message.user_code = rows->text(row, 8);
        held.push_back(std::move(some));
    }
    return held;
}

pg::DbResult<void> release_place(pg::Connection& connection, PlaceId place)
{
    return done(connection.run(sql("release_place"), pg::Params().number(place)));
}

pg::DbResult<std::int64_t> release_alike(pg::Connection& connection, const std::vector<HeldAlike>& some, int limit)
{
    std::vector<std::string_view> alike;
    std::ranges::transform(some, std::back_inserter(alike), &HeldAlike::alike);
    return number_of(
        connection, "release_alike",
        pg::Params().number(some.front().place).text(json_array(alike)).text(some.front().seen_at).number(limit));
}

} // namespace mailroom::queue
