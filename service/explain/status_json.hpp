// What is known besides the settings, as a status file gives it (docs/explain.md).
#pragma once

#include "config/error.hpp"
#include "config/mail_settings.hpp"

#include "service/rules/knowledge.hpp"

#include <boost/json/value.hpp>

namespace mailroom::explain {

// Owners and users are named by the codes of `settings`. The error names every problem, a line each.
Result<rules::Knowledge> knowledge_from(const boost::json::value& status, const MailSettings& settings);

} // namespace mailroom::explain
