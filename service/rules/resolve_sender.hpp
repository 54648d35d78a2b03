// Which account sends a message, and as whom: the decision table of docs/rules.md. Pure; where it says neither "send"
// nor "hold" plainly, nothing is sent.
#pragma once

#include "config/address.hpp"
#include "config/mail_settings.hpp"

#include "service/rules/classify.hpp"
#include "service/rules/hold.hpp"
#include "service/rules/knowledge.hpp"
#include "service/rules/trace.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mailroom::rules {

// Everything that a transport needs to know about who sends.
struct Identity {
    Mode mode = Mode::smtp;                 // or office365, which has no server, no Sender and no envelope
    Owner owner;                            // whose account
    std::string owner_code;                 // the User's code; empty for General
    std::string account;                    // the login; empty with a relay that asks for none
    const SealedSecret* password = nullptr; // into the settings; null: no login. With office365 the token
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

// What goes out by a user's desktop, under that desktop's own account: no transport of a server may take it.
struct Handover {
    Mode mode = Mode::outlook; // or other_client
    std::int32_t user = 0;
    std::string user_code;
    std::optional<NamedAddress> from; // of a Row or Model: also the account's address. None: the desktop's default
};

struct Decision {
    std::string table_row; // S11, M6, "M1/S12"
    std::variant<Identity, Hold, Handover> answer;

    const Identity* identity() const { return std::get_if<Identity>(&answer); }
    const Hold* hold() const { return std::get_if<Hold>(&answer); }
    const Handover* handover() const { return std::get_if<Handover>(&answer); }
};

// The answer points into `settings`, which must outlive it. An Identity of office365 and a Handover are answers only
// where knowledge.carries says so. trace: filled in; null: nobody asks why.
Decision resolve_sender(const Facts& facts, const MailSettings& settings, const Knowledge& knowledge,
                        Trace* trace = nullptr);

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
