// What operators are told once: every kind of event there is, with what to do about it. docs/operations.md ("Events")
// says more of each.
#pragma once

#include "config/service_file.hpp"

#include <string_view>

namespace mailroom::rules {

enum class EventKind {
    database_away,
    database_read_only,
    database_refuses,
    schema_differs,
    installation_differs,
    key_elsewhere,
    no_key,
    claim_failed,
    settings_unreadable,
    outcomes_wait,
    upkeep_failed,
    sending_paused,
    account_in_trouble,
    account_paused,
    sender_refused,
    messages_in_doubt,
    messages_quarantined,
    dispatcher_died,
    database_restored,
    journal_unwritable,
    journal_unreadable,
    vacuum_pinned,
    vacuum_forbidden,
    generations_full,
    database_copied,
    safety_on,
};

// Who knows whether it goes on.
enum class EventEnd {
    seen_by_its_dispatcher, // so it ends with that at the latest
    follows_from_database,  // any dispatcher sees it, also after all were restarted
    after_a_day,            // nobody: it happened
};

struct EventFacts {
    EventKind kind;
    std::string_view id; // of its row and of its lines in the log
    LogLevel level;      // warning, error
    EventEnd end;
    std::string_view remedy; // what to do, where the event itself does not say
};

const EventFacts& facts_of(EventKind kind);
const EventFacts* find_event(std::string_view id); // null: a kind of another version of the program

} // namespace mailroom::rules
