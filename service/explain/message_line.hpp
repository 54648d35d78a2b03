// A message as a line of a messages file describes it (docs/explain.md).
#pragma once

#include "config/mail_settings.hpp"

#include "service/rules/classify.hpp"

#include <boost/json/value.hpp>

#include <string>
#include <variant>
#include <vector>

namespace mailroom::explain {

// As enqueue would refuse it.
struct Refused {
    std::string text;
    std::vector<std::string> codes; // of the Row and the Model that are meant
};

std::variant<rules::Facts, Refused> facts_from(const boost::json::value& line, const MailSettings& settings);

} // namespace mailroom::explain
