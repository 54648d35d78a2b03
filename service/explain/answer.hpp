// A decision with its steps, for programs and for people (docs/explain.md).
#pragma once

#include "service/rules/resolve_sender.hpp"

#include <boost/json/object.hpp>

#include <string>

namespace mailroom::explain {

struct Explained {
    rules::Facts facts;
    rules::Decision decision; // points into the settings
    rules::Trace trace;
};

Explained explain(const rules::Facts& facts, const MailSettings& settings, const rules::Knowledge& knowledge);

// Kept in mailroom.decision for as long as the log: keys may come, none may go or change its meaning.
boost::json::object to_json(const Explained& explained);
// Of what to_json made, now or that day: lines, the last one ended too.
std::string to_text(const boost::json::object& explained);

} // namespace mailroom::explain
