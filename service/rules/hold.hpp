// Why a message waits for a person or a setting, and what ends the wait (docs/rules.md, "What releases a hold").
#pragma once

#include "config/mail_settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mailroom::rules {

enum class HoldReason {
    no_user,
    mode_not_configured,
    mode_unavailable_on_cloud,
    config_incomplete,
    cleartext_password,
    auth_required,
    admin_approval_required,
    consent_missing,
    auth_failed,
    basic_login_ended,
    send_as_denied,
    waiting_desktop,
    no_classic_outlook,
    outlook_account_missing,
    address_removed,
    copied_from,
    key_missing,
    identity_changed,
    in_doubt,
    quarantined,
};

// What a hold is about. The place of a held message is made of its reason and subjects.
struct Subject {
    enum class Kind { general, user, row, model, message };
    Kind kind = Kind::general;
    std::int32_t id = 0; // of the User, Row or Model; 0: General, the message, or a User that does not exist
    std::string code;    // for people: the User's, Row's or Model's code
    std::string
        field; // the label as on the screen ("Password"), or what the reason says more (an address); may be empty

    friend bool operator==(const Subject&, const Subject&) = default;
};

struct Hold {
    HoldReason reason = HoldReason::no_user;
    std::vector<Subject> subjects; // at least one

    friend bool operator==(const Hold&, const Hold&) = default;
};

std::string_view to_string(HoldReason reason); // as in docs/rules.md: config_incomplete
std::string describe(const Subject& subject);  // user ANNA: Password
std::string describe(const Hold& hold);        // config_incomplete(user ANNA: Password; general: Server Name)
std::string remedy(const Hold& hold);          // what to do, one sentence
bool ends_with_settings(HoldReason reason);    // released by itself when a setting, a status or a secret changes

// The unique key of the hold's place: reason and subjects, without what may be renamed (the code of a User that
// exists).
std::string place_key(const Hold& hold);

// Whose settings the hold waits for, each once: general, user:12, row:3, model:7, or user-code:XYZ for a User that does
// not exist. Empty where no setting can help.
std::vector<std::string> owners(const Hold& hold);

} // namespace mailroom::rules
