// The mail settings as files for people and programs: JSON and TOML with the same names, and tables of users, forms or
// models as CSV. Only the text: what a setting may be, the database says (mailroom.import_settings).
#pragma once

#include "config/error.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom {

constexpr std::size_t max_settings_file = 64U << 20U; // octets, ours

Result<boost::json::object> settings_from_json(std::string_view text);
Result<boost::json::object> settings_from_toml(std::string_view text);

// A table with a header line that names the settings; `part` is users, rows or models. Separated by commas or, where
// the header is, by semicolons; cells as in RFC 4180. An empty cell is a blank text, and says nothing where no text
// belongs.
struct SettingsTable {
    boost::json::object settings; // {part: [...]}
    boost::json::array lines;     // where each element begins, from 1
};
Result<SettingsTable> settings_from_csv(std::string_view text, std::string_view part);

// Where secrets stand in what somebody gives as settings (users[2].password): what goes to the database may be in its
// log.
std::vector<std::string> secrets_in(const boost::json::value& given);

// As the database gives them, in the order of the documentation.
std::string settings_as_json(const boost::json::value& settings);
std::string settings_as_toml(const boost::json::value& settings);
// One part of them as settings_from_csv reads it; without has_password and has_token, which are no settings.
std::string settings_as_csv(const boost::json::value& settings, std::string_view part);

} // namespace mailroom
