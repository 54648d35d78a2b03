// What this process has to tell operators, and what it has told them: the latest of each kind and subject. Pure: it is
// told the time, and writes nothing; service/events does.
#pragma once

#include "queue/event_store.hpp"
#include "service/rules/event_kinds.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailroom {

struct Event {
    rules::EventKind kind = rules::EventKind::database_away;
    std::string subject; // empty: this dispatcher
    std::string text;    // one sentence without a stop
    std::string remedy;  // empty: that of its kind
};

class EventBook {
public:
    using Clock = std::chrono::steady_clock;

    // Both ours. What goes on is written again so often: the row says when it was seen last, and who ended it wrongly
    // is corrected.
    static constexpr auto repeat_every = std::chrono::minutes(5);
    static constexpr std::size_t max_subjects = 1000; // beyond it new ones are not told

    // yes: it was not so a moment ago, as far as this process knows; full: it is not kept, the first such one since
    // there was room.
    enum class News { no, yes, full };
    News raise(Event event, Clock::time_point now);
    // What ended, where this process knew it.
    std::optional<Event> end(rules::EventKind kind, const std::string& subject, Clock::time_point now);
    // These and no others of a kind that follows from the database. To be called every now and then.
    News only(rules::EventKind kind, std::vector<Event> events, Clock::time_point now); // no, full
    // Whatever this dispatcher told ended with the one that it was before.
    void told_nothing();

    // What is to be written: then one of the other two must follow.
    queue::EventChanges due(Clock::time_point now);
    void written(Clock::time_point now);
    void not_written();

private:
    struct Entry {
        Event event;
        Clock::time_point since;
        std::optional<Clock::time_point> until;
        bool is_told = false;   // it may be open in the database
        bool came_back = false; // that is another time, which ended
        bool is_due = true;
        bool in_flight = false;
        Clock::time_point told_at;
    };
    using Key = std::pair<rules::EventKind, std::string>;
    struct Only {
        bool is_due = true;
        bool in_flight = false;
        Clock::time_point told_at;
    };

    static void add(queue::EventChanges& changes, const Entry& entry, Clock::time_point now);
    std::vector<std::string> open_subjects(rules::EventKind kind) const;

    std::map<Key, Entry> entries_;
    std::map<rules::EventKind, Only> only_;
    bool is_full_ = false; // and that was told
};

} // namespace mailroom
