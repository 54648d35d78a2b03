// The queue's face for a dispatcher: claim messages, end them or put them back. Functions on one connection, meant to
// run in a lane. Every write is fenced by (id, lease_no, dispatcher): what has lost its lease changes nothing.
#pragma once

#include "config/mail_settings.hpp"

#include "queue/decision_store.hpp"
#include "queue/pg/connection.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mailroom::queue {

using DispatcherId = std::int64_t;
using MessageId = std::int64_t;
using PlaceId = std::int32_t;

using Generation = std::int16_t; // of a message's content

constexpr PlaceId unsorted = 0; // whoever claims from it decides where the message goes
constexpr PlaceId suspects = 1; // their dispatchers died twice: claimed one at a time
constexpr int max_batch = 256;  // messages in one claim, completion or read of content

// A message under lease: what sorting needs, not what it carries.
struct Claimed {
    MessageId id = 0;
    std::int32_t lease_no = 0;
    DispatcherId dispatcher = 0; // that holds the lease
    Lane lane = Lane::normal;
    int attempts = 0; // that used up a try
    int doubts = 0;
    int deferrals = 0; // that used up none
    bool mobile = false;
    bool addressed = false;
    bool has_results = false; // of single recipients
    std::int64_t size = 0;    // octets of text, HTML and attachments
    std::optional<std::int32_t> user_id;
    std::optional<std::int32_t> row_id;
    std::optional<std::int32_t> model_id;
    std::string user_code;
    std::string uid;
    pg::Timestamp dated_at; // the Date header
    std::string pinned;     // the identity as JSON, once a recipient was served or may have been; empty: free
    // By the database's clock, when it was claimed.
    std::optional<std::chrono::milliseconds> expires_in;  // none: never
    std::optional<std::chrono::milliseconds> put_off_for; // since when it is tried in vain, or waits for its account
    pg::Timestamp run_at;
    PlaceId place = unsorted; // where it stood
    int recipients = 0;
    Generation generation = 0;
    pg::Timestamp enqueued_at;
};

struct Claim {
    std::vector<Claimed> messages;     // in the order in which they became due, lane by lane, those of routes first
    std::int64_t settings_version = 0; // 0: nothing was claimed
    pg::Timestamp leased_until;        // the last of the leases began
};

// A part of the one index: due messages of a place and a lane, the oldest first.
struct Range {
    PlaceId place = unsorted;
    Lane lane = Lane::normal;
    int limit = 0;       // messages, at least 1
    pg::Timestamp since; // below it are dead rows only
};

pg::DbResult<Claim> claim(pg::Connection& connection, DispatcherId dispatcher, const std::vector<Range>& ranges,
                          std::int64_t handed_back); // how often it did, below

// What is remembered of an attempt, or of a decision that led to none.
struct AttemptRecord {
    std::optional<std::chrono::system_clock::time_point> started_at;
    std::string table_row;
    DecisionId decision = 0; // 0: none
    std::string account;
    std::string from;
    std::string sender;
    std::string envelope_sender;
    std::string server;
    std::string stage;
    int code = 0;
    std::string enhanced;
    std::string reply;
};

struct RecipientRecord {
    int position = 0; // in the producer's list, from 0
    int state = 0;    // 0 open, 1 accepted, 2 refused, 3 in doubt
    int code = 0;
    std::string enhanced;
    std::string reply;
};

// A message's end.
struct Ending {
    MessageId id = 0;
    std::string uid;
    std::int32_t lease_no = 0;
    std::string outcome; // sent, partly_sent, failed, expired
    int counted = 1;     // tries used up by this attempt
    AttemptRecord attempt;
    std::vector<RecipientRecord> results; // where it is not the same for all
};

// Puts a message back.
struct Suspension {
    MessageId id = 0;
    std::string uid;
    std::int32_t lease_no = 0;
    std::string event; // deferred, held, in_doubt; parked, returned: not worth a line in the story
    PlaceId place = unsorted;
    std::chrono::milliseconds delay{0};
    int counted = 0;
    bool doubtful = false;
    std::string pinned; // JSON; empty: as it was
    std::string note;
    AttemptRecord attempt;
    std::vector<RecipientRecord> results;
};

// What is in neither had lost its lease.
struct Written {
    std::unordered_set<MessageId> done;
    std::unordered_set<MessageId> busy; // somebody has the row locked: to be written again
};

// As the statements take them, and journals keep them: a JSON object in a line.
std::string to_json(const Ending& ending);
std::string to_json(const Suspension& suspension);

// At most max_batch at a time, each as to_json made it.
pg::DbResult<Written> complete(pg::Connection& connection, DispatcherId dispatcher,
                               const std::vector<std::string_view>& endings);
pg::DbResult<Written> suspend(pg::Connection& connection, DispatcherId dispatcher, std::int64_t settings_version,
                              const std::vector<std::string_view>& suspensions);

// Keeps outcomes of either kind that came too late in their messages' stories, and stops those that were accepted after
// all, in `place`.
pg::DbResult<void> keep_late(pg::Connection& connection, const std::vector<std::string_view>& outcomes, PlaceId place);

// What stays of a message in the queue if its dispatcher dies.
struct Mark {
    MessageId id = 0;
    std::int32_t lease_no = 0;
    bool is_begun = false; // octets that commit it may have gone out; else it was only worked on
    std::optional<std::chrono::milliseconds> resend_after; // if so, and nobody learns more; none: an operator decides
};
// At most max_batch at a time.
pg::DbResult<Written> mark(pg::Connection& connection, DispatcherId dispatcher, const std::vector<Mark>& marks);

// Where messages of one reason and subject are held.
struct PlaceOfHold {
    std::string key;
    std::string reason;
    std::string subject;
    std::string remedy;
    std::vector<std::string> owners; // whose settings release it
    bool self_releasing = false;
};

pg::DbResult<PlaceId> place_of(pg::Connection& connection, const PlaceOfHold& hold);

struct Registration {
    std::string host;
    std::int64_t pid = 0;
    std::string version;
    std::vector<std::string> key_ids; // empty: it has no key
    std::chrono::milliseconds lease{20'000};
    std::string_view marks = "none"; // in the queue: none, begun
};

struct Enrolled {
    DispatcherId id = 0;
    std::string token;    // of this enrolment
    std::string database; // its identity
};

pg::DbResult<Enrolled> register_dispatcher(pg::Connection& connection, const Registration& registration);
pg::DbResult<std::string> identity_of_database(pg::Connection& connection);

// What is there now. present: the same text as long as the database cannot have become an older copy of itself.
struct PresentDatabase {
    std::string present;
    std::int64_t schema = 0; // its version
};
pg::DbResult<PresentDatabase> present_database(pg::Connection& connection);

// The last that were given, or a few above these after a crash of the database.
struct NewestNumbers {
    DispatcherId dispatcher = 0;
    MessageId message = 0;
};
pg::DbResult<NewestNumbers> newest_numbers(pg::Connection& connection);
// How many of these messages, by uid, are live and were not leased so often: lease numbers never fall.
pg::DbResult<std::int64_t> count_older(pg::Connection& connection,
                                       const std::vector<std::pair<std::string, std::int32_t>>& leases);

// Whether it is still known; if not, others took its messages, or the database is another.
pg::DbResult<bool> is_listed(pg::Connection& connection, DispatcherId dispatcher, const std::string& token);
// Its journal was found without it: what it had is taken from it at once. marks: none, begun, carried.
pg::DbResult<void> dead_for_certain(pg::Connection& connection, DispatcherId dispatcher, const std::string& token,
                                    std::string_view marks);

struct Beat {
    bool registered = false; // false: others took this dispatcher for dead
    std::string installation;
    std::int64_t settings_version = 0;
    bool key_is_elsewhere = false; // another live one opens all that this one can, and more
};

pg::DbResult<Beat> beat(pg::Connection& connection, DispatcherId dispatcher, bool wants_wake);
// safety: what [safety] of its settings file does, for people; empty: nothing.
pg::DbResult<void> announce(pg::Connection& connection, DispatcherId dispatcher, const std::string& safety);
pg::DbResult<void> resign(pg::Connection& connection, DispatcherId dispatcher);

struct Reaped {
    std::int64_t messages = 0;
    std::int64_t held = 0;    // of these, for an operator
    std::int64_t untried = 0; // of these, because nothing of them had gone out
    std::string dispatchers;  // that had them, for people
    struct Message {
        std::string uid;
        std::string event; // lease_lost, quarantined, dispatcher_died (nothing of it had gone out)
        std::string note;  // what becomes of it, for people
    };
    std::vector<Message> each;
};

// Where the reaper puts what it takes.
struct Doubts {
    std::map<std::string, std::optional<std::chrono::milliseconds>> resend_after; // of a first doubt, by category
    PlaceId held = unsorted;
    PlaceId quarantine = unsorted; // of what lost its dispatcher three times
};
pg::DbResult<Reaped> reap(pg::Connection& connection, DispatcherId dispatcher, const Doubts& doubts);

struct Released {
    std::int64_t held = 0; // messages that left a hold
    std::int64_t all = 0;  // with those that left a route, to be sorted again
};
pg::DbResult<Released> release(pg::Connection& connection, int limit);

// What was leased to the dispatcher after `since`, by a claim that it got no answer to.
struct HandedBack {
    std::int64_t messages = 0;
    std::int64_t locked = 0; // by somebody else: left for another time
    std::int64_t times = 0;  // how often this dispatcher has by now
    bool too_late = false;   // nothing was done, because `times_before` was not up to date
};
pg::DbResult<HandedBack> hand_back(pg::Connection& connection, DispatcherId dispatcher, pg::Timestamp since,
                                   std::int64_t times_before);

pg::DbResult<std::int64_t> list_orphans(pg::Connection& connection);  // dispatchers that are gone but have leases
pg::DbResult<std::int64_t> retry_senders(pg::Connection& connection); // refused pairs that are tried again

// A message that ended while it waited.
struct Expired {
    std::string uid;
    std::string user_code;
    int recipients = 0;
    std::string outcome; // expired, cancelled, partly_sent
    std::string note;    // why, for people
    std::string category;
};

// Ends what is past its expiry, what was put off for max_age (0: no limit), and what was cancelled: up to `limit` of
// each.
pg::DbResult<std::vector<Expired>> expire(pg::Connection& connection, int limit, std::chrono::milliseconds max_age);

} // namespace mailroom::queue
