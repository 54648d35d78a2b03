#include "queue/recover.hpp"

#include "queue/json_array.hpp"
#include "queue/sql.hpp"

#include <fmt/format.h>

namespace mailroom::queue {
namespace {

constexpr auto recovery_limit = std::chrono::minutes(10); // ours: the whole queue in one transaction

Error failed(const pg::DbError& error)
{
    if (error.sqlstate == "42501") // insufficient_privilege
        return Error{fmt::format(
            "recover: {}. Run it as the database's owner: --database 'host=... dbname=... user=...'", error.text)};
    return Error{fmt::format("recover: {}", pg::explain(error))};
}

Result<Recovered> recover_in_transaction(pg::Connection& connection, const Recovery& recovery, const PlaceOfHold& doubt)
{
    auto living =
        connection.run({"", "SELECT string_agg(format('dispatcher %s on %s', id, host), ', ') FROM mailroom.dispatcher "
                            "WHERE beat_at + lease > clock_timestamp()"});
    if (!living)
        return failed(living.error());
    if (!living->text(0, 0).empty())
        return Error{fmt::format("{} is at work on this database: stop all daemons first", living->text(0, 0))};
    auto place = place_of(connection, doubt);
    if (!place)
        return failed(place.error());
    auto done = connection.run(sql("recover"),
                               pg::Params()
                                   .text(json_array(recovery.messages))
                                   .truth(recovery.is_complete)
                                   .number(*place)
                                   .number(recovery.newest_dispatcher)
                                   .number(recovery.newest_message),
                               recovery_limit);
    if (!done)
        return failed(done.error());
    return Recovered{done->number(0, 0), done->number(0, 1), done->number(0, 2), std::string(done->text(0, 3))};
}

} // namespace

Result<Recovered> recover(pg::Connection& connection, const Recovery& recovery, const PlaceOfHold& doubt, Effect effect)
{
    if (auto begun = connection.script(
            "BEGIN; SET LOCAL lock_timeout = '60s'; LOCK TABLE mailroom.queue IN EXCLUSIVE MODE;", recovery_limit);
        !begun)
        return failed(begun.error());
    auto recovered = recover_in_transaction(connection, recovery, doubt);
    const bool keep = recovered && effect == Effect::lasting;
    if (!connection.usable())
        return recovered;
    if (auto ended = connection.script(keep ? "COMMIT" : "ROLLBACK", recovery_limit); !ended && keep)
        return failed(ended.error());
    return recovered;
}

} // namespace mailroom::queue
