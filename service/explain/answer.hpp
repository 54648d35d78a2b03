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

boost::json::object to_json(const Explained& explained);
std::string
to_text(const boost::json::object& explained); // of to_json, also once it was kept; lines, the last one ended too

} // namespace mailroom::explain
