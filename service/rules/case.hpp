// One message with the settings that may decide about it, and how the rows of the table are named. Internal to the
// rules.
#pragma once

#include "config/mail_settings.hpp"

#include "service/rules/classify.hpp"
#include "service/rules/resolve_sender.hpp"

#include <string>
#include <vector>

namespace mailroom::rules {

struct Case {
    const Facts& facts;
    const MailSettings& settings;
    const Knowledge& knowledge;
    Category category;
    const User* user;         // who posts; null: none, or none that exists
    const DocumentKind* kind; // the Row or Model of a mass or dispatch message; null: deleted, or another category

    bool is_linked() const { return category == Category::mass || category == Category::dispatch; }
    bool has_usable_user() const { return user != nullptr && user->enabled; }
};

Case case_of(const Facts& facts, const MailSettings& settings, const Knowledge& knowledge);

// The mode that decides, and whose setting it is.
struct Deciding {
    Mode mode = Mode::not_configured;
    Subject setting;
};
Deciding deciding_mode(const Case& c);

Subject::Kind linked_kind(const Case& c); // row or model

// The number of a row that stands in several parts of the table.
struct Numbers {
    int standard;
    int linked;
    int mobile;
};
int number_for(const Case& c, Numbers numbers);

// A standard message that named a Row or Model with a blank address names M1 or D1 before its row.
std::string row_name(const Case& c, int number);

Decision held(const Case& c, int row, HoldReason reason, std::vector<Subject> subjects);
Subject missing_user(const Case& c);

} // namespace mailroom::rules
