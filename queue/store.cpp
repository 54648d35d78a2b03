#include "queue/store.hpp"

#include "config/crash_point.hpp"

#include "queue/json_array.hpp"
#include "queue/sql.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace mailroom::queue {
namespace {

namespace json = boost::json;

std::optional<std::int32_t> optional_id(const pg::Result& rows, int row, int column)
{
    const auto number = rows.optional_number(row, column);
    return number ? std::optional(static_cast<std::int32_t>(*number)) : std::nullopt;
}

Claimed claimed(const pg::Result& rows, int row, DispatcherId dispatcher)
{
    Claimed message;
    message.id = rows.number(row, 0);
    message.lease_no = static_cast<std::int32_t>(rows.number(row, 1));
    message.dispatcher = dispatcher;
    message.lane = static_cast<Lane>(rows.number(row, 2));
    message.attempts = static_cast<int>(rows.number(row, 3));
    message.doubts = static_cast<int>(rows.number(row, 4));
    message.deferrals = static_cast<int>(rows.number(row, 5));
    message.mobile = rows.number(row, 6) == 1;
    message.addressed = rows.truth(row, 7);
    message.has_results = rows.truth(row, 8);
    message.size = rows.number(row, 9);
    message.user_id = optional_id(rows, row, 10);
    message.row_id = optional_id(rows, row, 11);
    message.model_id = optional_id(rows, row, 12);
    message.user_code = rows.text(row, 13);
    message.uid = rows.text(row, 14);
    message.dated_at = rows.time(row, 15);
    message.pinned = rows.text(row, 16);
    if (const auto left = rows.optional_number(row, 17))
        message.expires_in = std::chrono::milliseconds(*left);
    if (const auto past = rows.optional_number(row, 25))
        message.put_off_for = std::chrono::milliseconds(*past);
    message.run_at = rows.time(row, 19);
    message.place = static_cast<PlaceId>(rows.number(row, 20));
    message.recipients = static_cast<int>(rows.number(row, 21));
    message.generation = static_cast<Generation>(rows.number(row, 22));
    message.enqueued_at = rows.time(row, 24);
    return message;
}

// As Claim::messages are. What is sorted is pointers: a message is hundreds of octets, and so is moved only once.
std::vector<Claimed> in_order(std::vector<Claimed> messages)
{
    std::vector<Claimed*> order;
    order.reserve(messages.size());
    for (Claimed& message : messages)
        order.push_back(&message);
    std::ranges::sort(order, {}, [](const Claimed* message) {
        return std::tuple(message->lane, message->place == unsorted, message->run_at, message->id);
    });
    std::vector<Claimed> sorted;
    sorted.reserve(order.size());
    for (Claimed* message : order)
        sorted.push_back(std::move(*message));
    return sorted;
}

// An empty text is left out and becomes NULL.
void put(json::object& object, json::string_view key, const std::string& text)
{
    if (!text.empty())
        object.emplace(key, text);
}

void put(json::object& object, const AttemptRecord& attempt)
{
    if (attempt.started_at)
        object.emplace(
            "started_us",
            std::chrono::duration_cast<std::chrono::microseconds>(attempt.started_at->time_since_epoch()).count());
    put(object, "table_row", attempt.table_row);
    if (attempt.decision != 0)
        object.emplace("decision", attempt.decision);
    put(object, "account", attempt.account);
    put(object, "from_address", attempt.from);
    put(object, "sender", attempt.sender);
    put(object, "envelope_sender", attempt.envelope_sender);
    put(object, "server", attempt.server);
    put(object, "stage", attempt.stage);
    if (attempt.code != 0)
        object.emplace("code", attempt.code);
    put(object, "enhanced", attempt.enhanced);
    put(object, "reply", attempt.reply);
}

void put(json::object& object, const std::vector<RecipientRecord>& results)
{
    if (results.empty())
        return;
    json::array array;
    for (const auto& result : results)
        array.push_back({{"position", result.position},
                         {"state", result.state},
                         {"code", result.code},
                         {"enhanced", result.enhanced},
                         {"reply", result.reply}});
    object.emplace("results", std::move(array));
}

Written written(const pg::Result& rows)
{
    Written result;
    for (int row = 0; row < rows.rows(); ++row)
        (rows.truth(row, 1) ? result.busy : result.done).insert(rows.number(row, 0));
    return result;
}

// As PostgreSQL writes an array; key ids need no quotes.
std::string key_array(const std::vector<std::string>& ids)
{
    return ids.empty() ? "" : fmt::format("{{{}}}", fmt::join(ids, ","));
}

} // namespace

std::string to_json(const Ending& ending)
{
    json::object object{
        {"id", ending.id}, {"lease_no", ending.lease_no}, {"outcome", ending.outcome}, {"counted", ending.counted}};
    put(object, "uid", ending.uid);
    put(object, ending.attempt);
    put(object, ending.results);
    return json::serialize(object);
}

std::string to_json(const Suspension& suspension)
{
    json::object object{{"id", suspension.id},
                        {"lease_no", suspension.lease_no},
                        {"event", suspension.event},
                        {"place_id", suspension.place},
                        {"delay_ms", suspension.delay.count()},
                        {"counted", suspension.counted},
                        {"doubtful", suspension.doubtful ? 1 : 0}};
    if (!suspension.pinned.empty())
        object.emplace("pinned", json::parse(suspension.pinned));
    put(object, "uid", suspension.uid);
    put(object, "note", suspension.note);
    put(object, suspension.attempt);
    put(object, suspension.results);
    return json::serialize(object);
}

pg::DbResult<Claim> claim(pg::Connection& connection, DispatcherId dispatcher, const std::vector<Range>& ranges,
                          std::int64_t handed_back)
{
    static const pg::Statement statement = sql("claim");
    const auto column = [&ranges](auto value) {
        std::vector<std::int64_t> values;
        values.reserve(ranges.size());
        for (const Range& range : ranges)
            values.push_back(value(range));
        return values;
    };
    const auto places = column([](const Range& range) { return std::int64_t{range.place}; });
    const auto lanes = column([](const Range& range) { return static_cast<std::int64_t>(range.lane); });
    const auto limits = column([](const Range& range) { return std::int64_t{range.limit}; });
    const auto since = column([](const Range& range) {
        return std::chrono::duration_cast<std::chrono::microseconds>(range.since.time_since_epoch()).count();
    });
    auto rows = connection.run(statement, pg::Params()
                                              .number(dispatcher)
                                              .numbers(places)
                                              .numbers(lanes)
                                              .numbers(limits)
                                              .numbers(since)
                                              .number(handed_back));
    if (!rows)
        return rows.error();
    crash_point("claim.taken");
    Claim result;
    result.messages.reserve(static_cast<std::size_t>(rows->rows()));
    for (int row = 0; row < rows->rows(); ++row) {
        result.messages.push_back(claimed(*rows, row, dispatcher));
        result.leased_until = std::max(result.leased_until, rows->time(row, 23));
    }
    if (rows->rows() > 0)
        result.settings_version = rows->number(0, 18);
    result.messages = in_order(std::move(result.messages));
    return result;
}

pg::DbResult<Written> complete(pg::Connection& connection, DispatcherId dispatcher,
                               const std::vector<std::string_view>& endings)
{
    static const pg::Statement statement = sql("complete");
    auto rows = connection.run(statement, pg::Params().number(dispatcher).text(json_array(endings)));
    if (!rows)
        return rows.error();
    return written(*rows);
}

pg::DbResult<Written> suspend(pg::Connection& connection, DispatcherId dispatcher, std::int64_t settings_version,
                              const std::vector<std::string_view>& suspensions)
{
    static const pg::Statement statement = sql("suspend");
    auto rows = connection.run(statement,
                               pg::Params().number(dispatcher).number(settings_version).text(json_array(suspensions)));
    if (!rows)
        return rows.error();
    return written(*rows);
}

pg::DbResult<void> keep_late(pg::Connection& connection, const std::vector<std::string_view>& outcomes, PlaceId place)
{
    auto rows = connection.run(sql("late_outcome"), pg::Params().text(json_array(outcomes)).number(place));
    if (!rows)
        return rows.error();
    return {};
}

pg::DbResult<Written> mark(pg::Connection& connection, DispatcherId dispatcher, const std::vector<Mark>& marks)
{
    static const pg::Statement statement = sql("mark");
    json::array array;
    array.reserve(marks.size());
    for (const Mark& mark : marks)
        array.push_back({{"id", mark.id},
                         {"lease_no", mark.lease_no},
                         {"is_begun", mark.is_begun},
                         {"doubt_ms", mark.resend_after ? mark.resend_after->count() : std::int64_t{-1}}});
    auto rows = connection.run(statement, pg::Params().number(dispatcher).text(json::serialize(array)));
    if (!rows)
        return rows.error();
    return written(*rows);
}

pg::DbResult<PlaceId> place_of(pg::Connection& connection, const PlaceOfHold& hold)
{
    json::array owners(hold.owners.begin(), hold.owners.end());
    auto id = number_of(connection, "place",
                        pg::Params()
                            .text(hold.key)
                            .text(hold.reason)
                            .text(hold.subject)
                            .text(hold.remedy)
                            .text(json::serialize(owners))
                            .truth(hold.self_releasing));
    if (!id)
        return id.error();
    return static_cast<PlaceId>(*id);
}

pg::DbResult<Enrolled> register_dispatcher(pg::Connection& connection, const Registration& registration)
{
    auto rows = connection.run(sql("register"), pg::Params()
                                                    .text(registration.host)
                                                    .number(registration.pid)
                                                    .text(registration.version)
                                                    .text_or_null(key_array(registration.key_ids))
                                                    .number(registration.lease.count())
                                                    .text(registration.marks));
    if (!rows)
        return rows.error();
    return Enrolled{rows->number(0, 0), std::string(rows->text(0, 1)), std::string(rows->text(0, 2))};
}

pg::DbResult<std::string> identity_of_database(pg::Connection& connection)
{
    auto rows = connection.run({"", "SELECT identity::text FROM mailroom.installation"});
    if (!rows)
        return rows.error();
    return std::string(rows->text(0, 0));
}

pg::DbResult<PresentDatabase> present_database(pg::Connection& connection)
{
    auto rows = connection.run(sql("present_database"));
    if (!rows)
        return rows.error();
    if (rows->rows() == 0) // it is being restored
        return PresentDatabase{};
    return PresentDatabase{std::string(rows->text(0, 0)), rows->number(0, 1)};
}

pg::DbResult<NewestNumbers> newest_numbers(pg::Connection& connection)
{
    auto rows = connection.run({"", "SELECT d.last_value, m.last_value FROM mailroom.dispatcher_id_seq d "
                                    "CROSS JOIN mailroom.queue_id_seq m"});
    if (!rows)
        return rows.error();
    return NewestNumbers{rows->number(0, 0), rows->number(0, 1)};
}

pg::DbResult<std::int64_t> count_older(pg::Connection& connection,
                                       const std::vector<std::pair<std::string, std::int32_t>>& leases)
{
    json::array array;
    for (const auto& [uid, lease_no] : leases)
        array.push_back({{"uid", uid}, {"lease_no", lease_no}});
    return number_of(connection, "count_older", pg::Params().text(json::serialize(array)));
}

pg::DbResult<bool> is_listed(pg::Connection& connection, DispatcherId dispatcher, const std::string& token)
{
    auto rows = connection.run(sql("is_listed"), pg::Params().number(dispatcher).text(token));
    if (!rows)
        return rows.error();
    return rows->truth(0, 0);
}

pg::DbResult<void> dead_for_certain(pg::Connection& connection, DispatcherId dispatcher, const std::string& token,
                                    std::string_view marks)
{
    auto rows = connection.run(sql("dead_for_certain"), pg::Params().number(dispatcher).text(token).text(marks));
    if (!rows)
        return rows.error();
    return {};
}

pg::DbResult<Beat> beat(pg::Connection& connection, DispatcherId dispatcher, bool wants_wake)
{
    auto rows = connection.run(sql("beat"), pg::Params().number(dispatcher).truth(wants_wake));
    if (!rows)
        return rows.error();
    if (rows->rows() == 0)
        return Beat{};
    return Beat{true, std::string(rows->text(0, 0)), rows->number(0, 1), rows->truth(0, 2)};
}

pg::DbResult<void> announce(pg::Connection& connection, DispatcherId dispatcher, const std::string& safety)
{
    auto rows = connection.run(sql("announce"), pg::Params().number(dispatcher).text(safety));
    if (!rows)
        return rows.error();
    return {};
}

pg::DbResult<void> resign(pg::Connection& connection, DispatcherId dispatcher)
{
    auto rows = connection.run(sql("resign"), pg::Params().number(dispatcher));
    if (!rows)
        return rows.error();
    return {};
}

pg::DbResult<Reaped> reap(pg::Connection& connection, DispatcherId dispatcher, const Doubts& doubts)
{
    json::object resend_after;
    for (const auto& [category, after] : doubts.resend_after)
        resend_after.emplace(category, after ? json::value(after->count()) : json::value());
    auto rows = connection.run(sql("reap"), pg::Params()
                                                .number(dispatcher)
                                                .number(max_batch)
                                                .text(json::serialize(resend_after))
                                                .number(doubts.held)
                                                .number(doubts.quarantine));
    if (!rows)
        return rows.error();
    Reaped reaped{rows->number(0, 0), rows->number(0, 1), rows->number(0, 4), std::string(rows->text(0, 2)), {}};
    const auto each = json::parse(json::string_view(rows->text(0, 3).data(), rows->text(0, 3).size()));
    for (const json::value& message : each.as_array()) {
        const auto text = [&message](const char* key) { return std::string(message.at(key).as_string()); };
        reaped.each.push_back({text("uid"), text("event"), text("note")});
    }
    return reaped;
}

pg::DbResult<Released> release(pg::Connection& connection, int limit)
{
    auto rows = connection.run(sql("release"), pg::Params().number(limit));
    if (!rows)
        return rows.error();
    const Released released{rows->number(0, 0), rows->number(0, 1)};
    if (released.all == 0)
        return released;
    // The other dispatchers found nothing more to release, and may poll seldom.
    auto told = connection.run({"", "SELECT pg_notify('mailroom_wake', '')"});
    if (!told)
        return told.error();
    return released;
}

pg::DbResult<HandedBack> hand_back(pg::Connection& connection, DispatcherId dispatcher, pg::Timestamp since,
                                   std::int64_t times_before)
{
    auto rows =
        connection.run(sql("hand_back"),
                       pg::Params().number(dispatcher).number(since.time_since_epoch().count()).number(times_before));
    if (!rows)
        return rows.error();
    return HandedBack{rows->number(0, 0), rows->number(0, 1), rows->number(0, 2), rows->truth(0, 3)};
}

pg::DbResult<std::int64_t> list_orphans(pg::Connection& connection)
{
    return number_of(connection, "orphans", {});
}

pg::DbResult<std::int64_t> retry_senders(pg::Connection& connection)
{
    return number_of(connection, "retry_senders", {});
}

pg::DbResult<std::vector<Expired>> expire(pg::Connection& connection, int limit, std::chrono::milliseconds max_age)
{
    pg::Params params;
    params.number(limit);
    if (max_age.count() > 0)
        params.number(max_age.count());
    else
        params.null();
    auto rows = connection.run(sql("expire"), params);
    if (!rows)
        return rows.error();
    std::vector<Expired> ended;
    ended.reserve(static_cast<std::size_t>(rows->rows()));
    for (int row = 0; row < rows->rows(); ++row)
        ended.push_back({std::string(rows->text(row, 1)), std::string(rows->text(row, 2)),
                         static_cast<int>(rows->number(row, 3)), std::string(rows->text(row, 4)),
                         std::string(rows->text(row, 5)), std::string(rows->text(row, 6))});
    return ended;
}

} // namespace mailroom::queue
