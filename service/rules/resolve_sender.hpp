// Which account sends a message, and as whom: the decision table of docs/rules.md. Pure; where it says neither "send"
// nor "hold" plainly, nothing is sent.
#pragma once

#include "config/address.hpp"
#include "config/mail_settings.hpp"

#include "service/rules/classify.hpp"
#include "service/rules/hold.hpp"

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mailroom::rules {

// An account that its server does not let send as a From; in force until something changes.
struct RefusedPair {
    Mode mode = Mode::smtp;
    std::string account; // without an account: the server's name
    MailAddress from;
};

// What earlier contacts found out.
struct Knowledge {
    std::map<Owner, HoldReason> refused_logins; // auth_failed or basic_login_ended
    std::vector<RefusedPair> refused_pairs;
    bool key_missing = false; // this dispatcher cannot open any secret
};

// Everything that a transport needs to know about who sends.
struct Identity {
    Owner owner;                            // whose account
    std::string owner_code;                 // the User's code; empty for General
    std::string account;                    // the login; empty with a relay that asks for none
    const SealedSecret* password = nullptr; // into the settings; null: no login
    Owner password_owner;                   // whose secret it is (associated data of its seal)
    std::string host;
    Port port = *Port::make(587);
    Security security = Security::starttls;
    NamedAddress from;
    std::optional<MailAddress> sender; // the Sender header
    MailAddress envelope_sender;
    Subject from_setting;  // whose setting the From is; its field: the address
    std::string paired_as; // what a refused pair is kept under: the account or, without one, the server's name
};

struct Decision {
    std::string table_row; // S11, M6, "M1/S12"
    std::variant<Identity, Hold> answer;

    const Identity* identity() const { return std::get_if<Identity>(&answer); }
    const Hold* hold() const { return std::get_if<Hold>(&answer); }
};

// The answer points into `settings`, which must outlive it.
Decision resolve_sender(const Facts& facts, const MailSettings& settings, const Knowledge& knowledge);

// What a contact with the server makes known, as resolve_sender will say it from then on.
Hold refused_login(const Identity& identity, HoldReason reason); // auth_failed or basic_login_ended
Hold refused_sender(const Identity& identity);                   // send_as_denied(account, from)
RefusedPair pair_of(const Identity& identity);

// Once a recipient was served or an attempt is in doubt, From and Sender stay as they went out.
struct PinnedIdentity {
    NamedAddress from;
    std::optional<MailAddress> sender;
};

// identity_changed(old, new) when the settings now give another From or Sender: an operator decides.
std::optional<Hold> identity_changed(const PinnedIdentity& pinned, const Identity& now);

} // namespace mailroom::rules
