// Reads the mail settings as one consistent whole, and what servers refused; stores what a contact found out.
#pragma once

#include "config/mail_settings.hpp"

#include "queue/pg/connection.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace mailroom::queue {

// Who met a refused login, for people.
struct LoginContact {
    std::string owner; // general, user ANNA
    std::string account;
    std::string server;
    std::string reply;
};

struct RefusedLogin {
    std::vector<std::uint8_t> fingerprint;
    std::string reason; // auth_failed or basic_login_ended
    LoginContact contact;
};

struct RefusedSender {
    std::string mode;
    std::string account;
    std::string from; // lower case
    std::string reply;
    std::string place; // key of the hold; to be written only
    std::string trial; // uid of the message that is tried although the pair is refused; empty: none
};

// Of an Office 365 account, as its last contact left it.
struct StoredStatus {
    Owner owner;
    std::string state; // authenticated, never_tried ...
    std::string account;
    std::string mailbox;
    std::vector<std::string> aliases;
    bool lacks_sending_for_others = false;
};

struct StoredAgent {
    struct Account {
        std::string address;
        bool linked = false;
    };
    std::int32_t user = 0;
    std::string outlook; // none, only_new, classic
    std::vector<Account> accounts;
};

struct StoredSettings {
    MailSettings settings;
    std::string key_id; // that new secrets are sealed with; empty: nothing was sealed yet
    std::vector<RefusedLogin> logins;
    std::vector<RefusedSender> senders;
    std::vector<StoredStatus> statuses;
    std::vector<StoredAgent> agents;
};

// What became of an SMTP login, for people.
struct LoginNote {
    enum class Login { succeeded, refused };
    Owner owner;
    SealedSecret password;
    std::string account;
    std::string server;
    Login login = Login::succeeded;
    std::string words; // the server's
};
pg::DbResult<void> note_login(pg::Connection& connection, const LoginNote& note);

// In one repeatable-read transaction, so that no half of a change is seen.
pg::DbResult<StoredSettings> load_settings(pg::Connection& connection);
// The same within the caller's transaction, which sees what it has changed itself.
pg::DbResult<StoredSettings> read_settings(pg::Connection& connection);

// True where it was not known yet: then the version of the settings was raised and everybody is told.
pg::DbResult<bool> refuse_login(pg::Connection& connection, const RefusedLogin& login);
pg::DbResult<bool> refuse_sender(pg::Connection& connection, const RefusedSender& sender);

} // namespace mailroom::queue
