// The account, server and From that the settings give to one message, with every chain of defaults followed. A value
// that is missing stays empty here and is judged in resolve_sender. Internal to the rules.
#pragma once

#include "config/address.hpp"
#include "config/mail_settings.hpp"

#include "service/rules/hold.hpp"
#include "service/rules/knowledge.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace mailroom::rules {

struct Sender {
    Mode mode = Mode::smtp; // or office365
    Owner owner;
    Subject subject;                    // the owner
    std::string account;                // empty: missing
    std::optional<MailAddress> address; // the account's address, as far as the settings and the sign-in tell
    const SmtpServer* server = nullptr;
    Subject server_subject; // where to repair the server: an inherited one is General's
    std::string_view ssl_label;
    const SealedSecret* password = nullptr;         // null: none stored
    const SealedSecret* token = nullptr;            // of office365; null: none stored
    AccountState state = AccountState::never_tried; // of office365
    bool lacks_sending_for_others = false;          // of office365: the consent
    bool send_as = false;
    std::optional<NamedAddress> from; // none: missing
    Subject from_subject;             // whose setting it is, its label in `field`

    bool is_signed_in() const { return state == AccountState::authenticated; }
};

Sender sender_of(const User& user, Mode mode, const General& general, const Knowledge& knowledge = {});
Sender sender_for_mobile(const General& general, const Knowledge& knowledge = {});
Sender sender_for(const DocumentKind& kind, Subject::Kind which, const General& general,
                  const Knowledge& knowledge = {}); // a Row's or a Model's From

Security security_of(const SmtpServer& server);

Subject subject_of(const User& user, std::string_view field = {});
Subject subject_of(const DocumentKind& kind, Subject::Kind which, std::string_view field = {});
Subject subject_of_general(std::string_view field = {});

bool is_blank(std::string_view text);

} // namespace mailroom::rules
