#include "queue/upkeep.hpp"

#include "queue/sql.hpp"

namespace mailroom::queue {
namespace {

// Ours: 64 MiB of content are copied, files of some gigabytes deleted. Nothing waits in the lane meanwhile.
constexpr auto step_limit = std::chrono::minutes(1);
constexpr auto vacuum_limit = std::chrono::minutes(10);

} // namespace

std::string_view name_of(Ring ring)
{
    return ring == Ring::content ? "content" : "history";
}

pg::DbResult<Turn> turn_ring(pg::Connection& connection, Ring ring, std::chrono::milliseconds retention)
{
    auto rows =
        connection.run(sql("turn_ring"), pg::Params().text(name_of(ring)).number(retention.count()), step_limit);
    if (!rows)
        return rows.error();
    return Turn{rows->optional_number(0, 0), rows->truth(0, 1)};
}

pg::DbResult<std::optional<std::int64_t>> empty_generation(pg::Connection& connection, Ring ring,
                                                           std::chrono::milliseconds retention)
{
    auto rows =
        connection.run(sql("empty_generation"), pg::Params().text(name_of(ring)).number(retention.count()), step_limit);
    if (!rows)
        return rows.error();
    return rows->optional_number(0, 0);
}

pg::DbResult<Unpinned> unpin_generation(pg::Connection& connection, std::chrono::milliseconds retention,
                                        std::int64_t after)
{
    auto rows =
        connection.run(sql("unpin_generation"), pg::Params().number(retention.count()).number(after), step_limit);
    if (!rows)
        return rows.error();
    return Unpinned{rows->number(0, 0), rows->number(0, 1)};
}

pg::DbResult<std::int64_t> forget_keys(pg::Connection& connection, std::chrono::milliseconds retention, int most)
{
    return number_of(connection, "forget_keys", pg::Params().number(retention.count()).number(most), step_limit);
}

pg::DbResult<std::int64_t> forget_small(pg::Connection& connection)
{
    return number_of(connection, "forget_small", {}, step_limit);
}

pg::DbResult<void> unpark(pg::Connection& connection)
{
    auto routes = number_of(connection, "unpark", {}, step_limit);
    if (!routes)
        return routes.error();
    return {};
}

pg::DbResult<DeadRows> dead_rows(pg::Connection& connection)
{
    auto rows = connection.run(sql("dead_rows"));
    if (!rows)
        return rows.error();
    if (rows->rows() == 0)
        return DeadRows{};
    return DeadRows{rows->number(0, 0), rows->truth(0, 1), rows->truth(0, 2), std::string(rows->text(0, 3))};
}

pg::DbResult<void> vacuum(pg::Connection& connection)
{
    // The file is not shortened: that needs a lock that stops all, for a table that fills again.
    auto done = connection.run({"", "VACUUM (SKIP_LOCKED, TRUNCATE false) mailroom.queue"}, {}, vacuum_limit);
    if (!done)
        return done.error();
    return {};
}

pg::DbResult<std::vector<Pin>> pins(pg::Connection& connection)
{
    auto rows = connection.run(sql("pins"));
    if (!rows)
        return rows.error();
    std::vector<Pin> found;
    for (int row = 0; row < rows->rows(); ++row) {
        const auto age = rows->optional_number(row, 3);
        found.push_back({std::string(rows->text(row, 0)), std::string(rows->text(row, 1)),
                         std::string(rows->text(row, 2)),
                         age ? std::optional(std::chrono::seconds(*age)) : std::nullopt,
                         std::string(rows->text(row, 4)), rows->number(row, 5)});
    }
    return found;
}

} // namespace mailroom::queue
