#include "queue/event_store.hpp"

#include "queue/sql.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <utility>

namespace mailroom::queue {
namespace {

namespace json = boost::json;

json::value count_or_null(const std::optional<std::chrono::milliseconds>& time)
{
    return time ? json::value(time->count()) : json::value(nullptr);
}

std::string as_json(const std::vector<RaisedEvent>& events)
{
    json::array array;
    for (const auto& event : events)
        array.push_back({{"id", event.id},
                         {"subject", event.subject},
                         {"severity", event.severity},
                         {"text", event.text},
                         {"remedy", event.remedy},
                         {"began_ms", event.began.count()},
                         {"ended_ms", count_or_null(event.ended)},
                         {"lasts_ms", count_or_null(event.lasts)},
                         {"of_dispatcher", event.of_dispatcher}});
    return json::serialize(array);
}

std::string as_json(const std::vector<EndedEvent>& events)
{
    json::array array;
    for (const auto& event : events)
        array.push_back({{"id", event.id}, {"subject", event.subject}, {"ended_ms", event.ended.count()}});
    return json::serialize(array);
}

ToldEvent event_of(const pg::Result& rows, int row, int column)
{
    return {std::string(rows.text(row, column)), std::string(rows.text(row, column + 1)),
            std::string(rows.text(row, column + 2)), std::string(rows.text(row, column + 3))};
}

void add(std::vector<ToldEvent>& told, const pg::Result& rows)
{
    for (int row = 0; row < rows.rows(); ++row)
        told.push_back(event_of(rows, row, 0));
}

} // namespace

pg::DbResult<ToldEvents> tell(pg::Connection& connection, DispatcherId dispatcher, const EventChanges& changes)
{
    ToldEvents told;
    if (!changes.ended.empty()) {
        auto rows = connection.run(sql("end_event"), pg::Params().number(dispatcher).text(as_json(changes.ended)));
        if (!rows)
            return rows.error();
        add(told.ended, *rows);
    }
    if (!changes.raised.empty()) {
        auto rows = connection.run(sql("raise_event"), pg::Params().number(dispatcher).text(as_json(changes.raised)));
        if (!rows)
            return rows.error();
        told.is_listed = rows->truth(0, 0);
        for (int row = 0; row < rows->rows(); ++row) {
            if (!rows->is_null(row, 1))
                told.raised.push_back(event_of(*rows, row, 1));
        }
        if (!told.is_listed)
            return told;
    }
    for (const auto& only : changes.only) {
        const json::array subjects(only.subjects.begin(), only.subjects.end());
        auto rows = connection.run(sql("end_other_events"),
                                   pg::Params().number(dispatcher).text(only.id).text(json::serialize(subjects)));
        if (!rows)
            return rows.error();
        add(told.ended, *rows);
    }
    return told;
}

pg::DbResult<std::int64_t> forget_events(pg::Connection& connection, std::chrono::milliseconds retention)
{
    auto rows = connection.run(sql("forget_events"), pg::Params().number(retention.count()));
    if (!rows)
        return rows.error();
    return rows->number(0, 0);
}

pg::DbResult<Undecided> undecided(pg::Connection& connection)
{
    auto rows = connection.run(sql("undecided"));
    if (!rows)
        return rows.error();
    Undecided found;
    for (int row = 0; row < rows->rows(); ++row)
        (rows->text(row, 0) == "quarantined" ? found.quarantined : found.in_doubt) += rows->number(row, 1);
    return found;
}

} // namespace mailroom::queue
