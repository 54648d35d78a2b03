// Send Test Email in its five places (docs/rules.md): the values as on the screen, the resolution, composer and
// transport of all other mail, one attempt ahead of the queue. What reads and writes the database blocks, and so does
// send(), for as long as its limit. Nothing of a screen's values is stored.
#pragma once

#include "queue/keyring.hpp"
#include "queue/pg/connection.hpp"
#include "queue/settings_store.hpp"
#include "service/rules/resolve_sender.hpp"
#include "service/safety.hpp"
#include "service/snapshot.hpp"
#include "service/test_report.hpp"
#include "transport/outcome.hpp"
#include "transport/smtp/command.hpp"
#include "transport/tls.hpp"
#include "transport/trace.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace mailroom::test_mail {

constexpr auto longest = std::chrono::seconds(30); // a test as a whole, whatever hangs

struct Place {
    enum class Kind { general, user, row, model, me };
    Kind kind = Kind::general;
    std::string code; // of the User, Row or Model; empty for General and for oneself
};

struct Order {
    Place place;
    std::string presser;            // code of the ERP user who presses; empty: nobody is named
    std::string to;                 // an address; empty: the presser's own
    std::string values;             // JSON object, as for mailroom.save_*; empty: all as stored
    std::optional<Secret> password; // as typed; none: the stored one, where it may be used
};

struct Screen {
    MailSettings stored;
    queue::StoredSettings shown; // with the order's values
    std::string uid;             // for the message
};

// The settings with the order's values, by the checks of saving, in a transaction that is rolled back.
pg::DbResult<Screen> read_screen(pg::Connection& connection, const Order& order);

struct Plan {
    std::string place; // user ANNA
    std::string pressed_by;
    std::string note;    // what is other than the place says; may be empty
    bool counts = false; // all values are the stored ones
    std::string uid;
    MailAddress to;
    Mode mode = Mode::not_configured;
    std::shared_ptr<const Snapshot> snapshot; // the decision points into it
    rules::Decision decision;
};

// Who would send it. Pure. keys: null where there is none. Error: what the presser must give first.
Result<Plan> plan(const Order& order, Screen screen, const queue::Keyring* keys);

struct Means {
    std::shared_ptr<const tls::ClientContext> authorities; // null: servers without TLS only
    smtp::ClientName client_name;
    std::string domain;              // of the Message-ID
    pg::Source database;             // of large attachments, which a test has not
    const queue::Keyring* keys;      // null: none
    Safety safety;                   // of the settings file: a test system's test e-mails go no further either
    std::chrono::milliseconds limit; // of all that it does
};

struct Sent {
    Delivery delivery;
    Trace trace;
};

// Only where the decision is an identity.
Sent send(const Plan& plan, const Means& means);

// What is shown and recorded. sent: null where the decision holds it.
Report report_of(const Plan& plan, const Sent* sent, const std::string& domain);

struct Status {
    std::string words; // what became of the account's; may be empty
};
// Sets the status of account and pair where the test counts, and records it.
Result<Status> settle(pg::Connection& connection, const Plan& plan, const Sent* sent, const Report& report,
                      const queue::Keyring* keys);

} // namespace mailroom::test_mail
