// What is known besides the settings when a message is judged: what servers refused, which accounts have signed in,
// which desktops report, and what this process can carry. An empty Knowledge knows of no sign-in and no desktop.
#pragma once

#include "config/address.hpp"
#include "config/mail_settings.hpp"

#include "service/rules/hold.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::rules {

// An account that its server does not let send as a From; in force until something changes.
struct RefusedPair {
    Mode mode = Mode::smtp;
    std::string account; // without an account: the server's name
    MailAddress from;
};

// Of an Office 365 account: Authenticated, or why it is not.
enum class AccountState { never_tried, authenticated, sign_in_failed, declined, approval_required, revoked, idle };

std::string_view to_string(AccountState state); // as stored and in the status file: never_tried ...
std::optional<AccountState> account_state_from(std::string_view text);

struct AccountStatus {
    AccountState state = AccountState::never_tried;
    std::optional<std::string>
        account; // that it was found for; another account has never been tried. None: the present
    std::optional<MailAddress> mailbox;              // that signed in
    std::optional<std::vector<MailAddress>> aliases; // of the mailbox, its sign-in name among them. None: not known
    bool lacks_sending_for_others = false;           // the consent; a remark beside authenticated
};

// What the desktop agent of a user reports.
struct DesktopAgent {
    enum class Outlook { none, only_new, classic };
    struct Account {
        MailAddress address;
        bool linked = false; // a mailbox that Outlook opens only through another account
    };
    Outlook outlook = Outlook::none;
    std::vector<Account> accounts; // of the classic Outlook
};

// Transports besides SMTP. What a process cannot carry it holds.
struct Carried {
    bool office365 = false;
    bool desktop = false;
};

struct Knowledge {
    std::map<Owner, HoldReason> refused_logins; // of SMTP: auth_failed or basic_login_ended
    std::vector<RefusedPair> refused_pairs;
    bool key_missing = false;                      // this dispatcher cannot open any secret
    std::map<Owner, std::string> sealed_otherwise; // whose passwords are sealed with a key that it lacks: the key's id
    std::map<Owner, AccountStatus> accounts;       // of Office 365; none: never tried
    std::map<std::int32_t, DesktopAgent> agents;   // by the User's id; none: none is there
    Carried carries;
};

} // namespace mailroom::rules
