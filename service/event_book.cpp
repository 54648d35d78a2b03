#include "service/event_book.hpp"

#include <set>

namespace mailroom {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds day = std::chrono::hours(24);
constexpr std::size_t max_batch = 200; // in one statement

milliseconds between(EventBook::Clock::time_point from, EventBook::Clock::time_point to)
{
    return std::chrono::duration_cast<milliseconds>(to - from);
}

} // namespace

EventBook::News EventBook::raise(Event event, Clock::time_point now)
{
    const Key key{event.kind, event.subject};
    const auto found = entries_.find(key);
    if (found == entries_.end()) {
        if (entries_.size() >= max_subjects)
            return std::exchange(is_full_, true) ? News::no : News::full;
        is_full_ = false;
        entries_.emplace(key, Entry{std::move(event), now, {}, false, false, true, false, {}});
        return News::yes;
    }
    Entry& entry = found->second;
    entry.event = std::move(event);
    const bool happens = rules::facts_of(key.first).end == rules::EventEnd::after_a_day;
    if (!happens && !entry.until)
        return News::no;
    entry.came_back = !happens && (entry.is_told || entry.in_flight);
    entry.since = now;
    entry.until.reset();
    entry.is_due = true;
    return News::yes;
}

std::optional<Event> EventBook::end(rules::EventKind kind, const std::string& subject, Clock::time_point now)
{
    const auto found = entries_.find({kind, subject});
    if (found == entries_.end() || found->second.until)
        return std::nullopt;
    found->second.until = now;
    found->second.is_due = true;
    return found->second.event;
}

EventBook::News EventBook::only(rules::EventKind kind, std::vector<Event> events, Clock::time_point now)
{
    News news = News::no;
    std::set<std::string> subjects;
    for (Event& event : events) {
        subjects.insert(event.subject);
        if (raise(std::move(event), now) == News::full)
            news = News::full;
    }
    for (auto& [key, entry] : entries_) {
        if (key.first == kind && !entry.until && !subjects.contains(key.second)) {
            entry.until = now;
            entry.is_due = true;
        }
    }
    only_[kind];
    return news;
}

void EventBook::told_nothing()
{
    const auto is_ours = [](const auto& known) {
        return rules::facts_of(known.first.first).end == rules::EventEnd::seen_by_its_dispatcher;
    };
    std::erase_if(entries_, [&](const auto& known) { // whoever took it off the list ended these
        return is_ours(known) && known.second.is_told && known.second.until;
    });
    for (auto& known : entries_) {
        if (!is_ours(known))
            continue;
        Entry& entry = known.second;
        entry.is_told = false;
        entry.came_back = false;
        entry.is_due = true;
    }
}

std::vector<std::string> EventBook::open_subjects(rules::EventKind kind) const
{
    std::vector<std::string> subjects;
    for (const auto& [key, entry] : entries_) {
        if (key.first == kind && !entry.until)
            subjects.push_back(key.second);
    }
    return subjects;
}

void EventBook::add(queue::EventChanges& changes, const Entry& entry, Clock::time_point now)
{
    const rules::EventFacts& facts = rules::facts_of(entry.event.kind);
    const std::string id(facts.id);
    if (entry.until && entry.is_told) {
        changes.ended.push_back({id, entry.event.subject, between(*entry.until, now)});
        return;
    }
    if (entry.came_back)
        changes.ended.push_back({id, entry.event.subject, between(entry.since, now)});
    queue::RaisedEvent raised;
    raised.id = id;
    raised.subject = entry.event.subject;
    raised.severity = facts.level == LogLevel::error ? "error" : "warning";
    raised.text = entry.event.text;
    raised.remedy = entry.event.remedy.empty() ? std::string(facts.remedy) : entry.event.remedy;
    raised.began = between(entry.since, now);
    if (entry.until)
        raised.ended = between(*entry.until, now);
    if (facts.end == rules::EventEnd::after_a_day)
        raised.lasts = day;
    raised.of_dispatcher = facts.end == rules::EventEnd::seen_by_its_dispatcher;
    changes.raised.push_back(std::move(raised));
}

queue::EventChanges EventBook::due(Clock::time_point now)
{
    queue::EventChanges changes;
    for (auto& [key, entry] : entries_) {
        entry.is_due |= !entry.until && now - entry.told_at >= repeat_every;
        if (!entry.is_due || changes.raised.size() + changes.ended.size() >= max_batch)
            continue;
        entry.is_due = false;
        entry.in_flight = true;
        add(changes, entry, now);
    }
    for (auto& [kind, others] : only_) {
        others.is_due |= now - others.told_at >= repeat_every;
        if (!others.is_due)
            continue;
        others.is_due = false;
        others.in_flight = true;
        changes.only.push_back({std::string(rules::facts_of(kind).id), open_subjects(kind)});
    }
    return changes;
}

void EventBook::written(Clock::time_point now)
{
    for (auto it = entries_.begin(); it != entries_.end();) {
        Entry& entry = it->second;
        const bool was_in_flight = std::exchange(entry.in_flight, false);
        const bool is_over = entry.until || rules::facts_of(it->first.first).end == rules::EventEnd::after_a_day;
        if (was_in_flight && !entry.is_due && is_over) {
            it = entries_.erase(it);
            continue;
        }
        if (was_in_flight) {
            entry.is_told = true;
            entry.came_back &= entry.is_due;
            entry.told_at = now;
        }
        ++it;
    }
    for (auto& [kind, others] : only_) {
        if (std::exchange(others.in_flight, false))
            others.told_at = now;
    }
}

void EventBook::not_written()
{
    for (auto& [key, entry] : entries_)
        entry.is_due |= std::exchange(entry.in_flight, false);
    for (auto& [kind, others] : only_)
        others.is_due |= std::exchange(others.in_flight, false);
}

} // namespace mailroom
