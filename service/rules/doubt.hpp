// What is done with a message of which nobody knows whether it was sent: by account, else by category, else as a rule.
#pragma once

#include "config/mail_settings.hpp"
#include "config/service_file.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::rules {

class DoubtRules {
public:
    DoubtRules() = default;
    explicit DoubtRules(ServiceFile::Doubt settings) : settings_(std::move(settings)) {}

    // After how long a first doubt is resent; none: an operator decides. So it is with look_up too, where the way that
    // the message went has no means to look: SMTP has none.
    // account: the login or mailbox, as the settings name it.
    std::optional<std::chrono::milliseconds> resend_after(Category category, std::string_view account) const;

    // Where it is not known which account had the message: none if it might be one that is not to resend, else the
    // longest time.
    std::optional<std::chrono::milliseconds> resend_after(Category category) const;

private:
    ServiceFile::Doubt settings_;
};

} // namespace mailroom::rules
