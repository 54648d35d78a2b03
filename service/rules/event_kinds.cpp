#include "service/rules/event_kinds.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace mailroom::rules {
namespace {

using enum EventKind;
using enum EventEnd;

constexpr auto warning = LogLevel::warning;
constexpr auto error = LogLevel::error;

constexpr std::array kinds{
    EventFacts{
        database_away, "database_away", error, seen_by_its_dispatcher,
        "bring the database back, or correct [database] connection in the settings file; mail goes on by itself"},
    EventFacts{database_read_only, "database_read_only", error, seen_by_its_dispatcher,
               "end what makes it read-only (a standby, default_transaction_read_only), or name the primary in "
               "[database] connection"},
    EventFacts{database_refuses, "database_refuses", error, seen_by_its_dispatcher,
               "grant the service's login the role mailroom_worker, run `mailroom migrate`, or free the disk, as the "
               "text says"},
    EventFacts{schema_differs, "schema_differs", error, seen_by_its_dispatcher,
               "bring the database and the program to the same version, as the text says; an older database is gone on "
               "with by itself, a newer one by the newer program (docs/upgrade-and-backup.md)"},
    EventFacts{installation_differs, "installation_differs", error, seen_by_its_dispatcher,
               "correct [installation] name or [database] connection in the settings file; run `mailroom adopt` if "
               "the database was copied on purpose"},
    EventFacts{key_elsewhere, "key_elsewhere", error, seen_by_its_dispatcher,
               "give this service the same key ([secrets] key_file) and restart it"},
    EventFacts{no_key, "no_key", warning, seen_by_its_dispatcher,
               "give the service its key ([secrets] key_file) and restart it; a new one: mailroom config new-key"},
    EventFacts{claim_failed, "claim_failed", error, seen_by_its_dispatcher,
               "repair in the database what the text names; it is tried again by itself"},
    EventFacts{settings_unreadable, "settings_unreadable", error, seen_by_its_dispatcher,
               "repair in the database what the text names; it is tried again by itself"},
    EventFacts{outcomes_wait, "outcomes_wait", warning, seen_by_its_dispatcher,
               "bring the database back before the service is stopped: what is not written by then is in doubt"},
    EventFacts{upkeep_failed, "upkeep_failed", warning, seen_by_its_dispatcher,
               "repair in the database what the text names; it is tried again by itself"},
    EventFacts{sending_paused, "sending_paused", error, seen_by_its_dispatcher,
               "repair what the text names on this machine; `mailroom config check` looks at the key and the "
               "certificates"},
    EventFacts{account_in_trouble, "account_in_trouble", warning, seen_by_its_dispatcher,
               "see whether its server runs and what it says; its mail waits and goes on by itself"},
    EventFacts{account_paused, "account_paused", warning, follows_from_database, ""},
    EventFacts{sender_refused, "sender_refused", warning, follows_from_database,
               "let the mail server's administrator allow it, or change the address; it is tried again by itself"},
    EventFacts{messages_in_doubt, "messages_in_doubt", warning, follows_from_database,
               "ask a recipient or the server whether they came (mailroom list --reason in_doubt), then mailroom "
               "release or mailroom cancel"},
    EventFacts{messages_quarantined, "messages_quarantined", error, follows_from_database,
               "look what is special about them (mailroom list --reason quarantined), then mailroom release or "
               "mailroom cancel"},
    EventFacts{dispatcher_died, "dispatcher_died", warning, after_a_day,
               "look in its log and the system's why it ended (memory, a kill, the network); others took over its "
               "messages"},
    EventFacts{database_restored, "database_restored", error, seen_by_its_dispatcher,
               "nothing is sent before `mailroom recover` has marked what may have been sent since the backup "
               "(docs/upgrade-and-backup.md)"},
    EventFacts{journal_unwritable, "journal_unwritable", error, seen_by_its_dispatcher,
               "free the disk or repair the folder ([journal] directory); mail waits and goes on by itself. A machine "
               "without a disk that lasts: [journal] store = \"database\""},
    EventFacts{
        journal_unreadable, "journal_unreadable", warning, seen_by_its_dispatcher,
        "let the service's user read the file; what it cannot read it leaves, and what that dispatcher had is in "
        "doubt"},
    EventFacts{vacuum_pinned, "vacuum_pinned", warning, seen_by_its_dispatcher, ""},
    EventFacts{vacuum_forbidden, "vacuum_forbidden", warning, seen_by_its_dispatcher, ""},
    EventFacts{generations_full, "generations_full", warning, seen_by_its_dispatcher,
               "see what keeps the others in the view mailroom.generations: a shorter retention, or release or cancel "
               "what waits for long"},
    EventFacts{database_copied, "database_copied", warning, follows_from_database,
               "see whether the original still serves; `mailroom doctor` says what to do in either case"},
    EventFacts{safety_on, "safety_on", warning, seen_by_its_dispatcher,
               "if real mail is to go out from here, take [safety] out of the settings file and reload"},
};

constexpr bool is_in_order()
{
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        if (static_cast<std::size_t>(kinds[i].kind) != i)
            return false;
    }
    return true;
}
static_assert(is_in_order());

} // namespace

const EventFacts& facts_of(EventKind kind)
{
    return kinds[static_cast<std::size_t>(kind)];
}

const EventFacts* find_event(std::string_view id)
{
    const auto* const found = std::ranges::find(kinds, id, &EventFacts::id);
    return found == kinds.end() ? nullptr : &*found;
}

} // namespace mailroom::rules
