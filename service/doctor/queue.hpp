// The queue and what drains it: dispatchers, what waits and why, stored passwords, what keeps VACUUM and the
// generations from doing their work. Pure judgement of what statements found.
#pragma once

#include "config/mail_settings.hpp"

#include "queue/keyring.hpp"
#include "queue/upkeep.hpp"
#include "service/doctor/finding.hpp"

#include <boost/json/value.hpp>

#include <string_view>
#include <vector>

namespace mailroom::doctor {

// facts: queue/sql/doctor_queue.sql. ours: the ids of this process's, a blank between; empty: it has none.
Findings about_queue(const boost::json::value& facts, std::string_view ours = {});

// Warnings from a minute or 10,000 transactions on, a problem from an hour or a million on; ours.
Findings about_pins(const std::vector<queue::Pin>& pins);
Finding about_dead_rows(const queue::DeadRows& rows);

// Opens every stored password, and shows none. keys: null where this process has none. facts: as about_queue's.
Finding about_secrets(const MailSettings& settings, const queue::Keyring* keys, const boost::json::value& facts);

} // namespace mailroom::doctor
