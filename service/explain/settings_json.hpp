// The mail settings of an export (docs/explain.md), as the rules take them.
#pragma once

#include "config/error.hpp"
#include "config/mail_settings.hpp"

#include <boost/json/value.hpp>

namespace mailroom::explain {

// Ids are given by the order of the export. A secret that it says to be stored is one that nobody can open.
Result<MailSettings> settings_from(const boost::json::value& exported); // the error names every problem, a line each

} // namespace mailroom::explain
