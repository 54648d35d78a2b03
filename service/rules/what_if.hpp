// What a change of the mail settings would do to who sends: the decisions before it and after it, side by side. Pure;
// it changes nothing and knows no message but by what decides its sender.
#pragma once

#include "service/rules/resolve_sender.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace mailroom::rules {

// Live messages that are decided alike.
struct Waiting {
    Facts facts;
    std::int64_t messages = 0;
};

// Who would send, for people; all empty but `hold` where nobody would.
struct Prospect {
    std::string table_row; // S12; M1, D1: standard mail of whoever posts it
    std::string mode;      // as stored: smtp, outlook; not_configured
    std::string account;
    std::string server; // host:port
    std::string from;
    std::string sender; // the Sender header
    std::string hold;   // config_incomplete(user ANNA: Password)

    friend bool operator==(const Prospect&, const Prospect&) = default;
};

struct Difference {
    Subject::Kind kind = Subject::Kind::general; // general: mail from MOBILE
    std::string code;
    Prospect before;
    Prospect after;
    std::int64_t waiting = 0; // live messages that are this User's, Row's, Model's or MOBILE's
};

// One reading of the settings, with what is known of its accounts.
struct Reading {
    const MailSettings& settings;
    const Knowledge& knowledge;
};

// General first, then Users, Rows and Models by code; only those with a difference.
std::vector<Difference> what_if(const Reading& before, const Reading& after, const std::vector<Waiting>& waiting);

} // namespace mailroom::rules
