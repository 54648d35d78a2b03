// The steps of one decision, for people who ask why. resolve_sender fills it in where it is given one.
#pragma once

#include "config/mail_settings.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mailroom::rules {

// A setting that was looked at. A secret's value is only "stored" or "none".
struct Looked {
    std::string setting; // user ANNA: account
    std::string value;   // as it counts; empty: missing
    std::string origin;  // stored, default, default: user.email, inherited from general, none
};

struct TraceStep {
    int number = 0; // of "Decide in this order" (docs/rules.md)
    std::string question;
    std::vector<Looked> settings;
    std::string result; // goes on, or the row and the hold
};

struct Trace {
    std::optional<Mode> mode; // that decides; none: not reached
    std::vector<TraceStep> steps;
};

} // namespace mailroom::rules
