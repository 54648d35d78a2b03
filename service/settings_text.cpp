#include "service/settings_text.hpp"

#include "config/text.hpp"
#include "config/toml.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <sstream>
#include <vector>

namespace mailroom {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 27> order_of_keys{"edition",
                                                         "default_user_mode",
                                                         "code",
                                                         "kind",
                                                         "name",
                                                         "enabled",
                                                         "email",
                                                         "mode",
                                                         "account",
                                                         "from",
                                                         "server",
                                                         "port",
                                                         "use_ssl",
                                                         "login",
                                                         "allow_cleartext",
                                                         "user_server",
                                                         "user_port",
                                                         "user_use_ssl",
                                                         "user_login",
                                                         "user_allow_cleartext",
                                                         "send_as",
                                                         "has_password",
                                                         "has_token",
                                                         "general",
                                                         "users",
                                                         "rows",
                                                         "models"};

std::size_t rank_of(std::string_view key)
{
    return static_cast<std::size_t>(std::ranges::find(order_of_keys, key) - order_of_keys.begin());
}

std::vector<std::string> keys_in_order(const json::object& object)
{
    std::vector<std::string> keys;
    for (const auto& [key, value] : object)
        keys.emplace_back(key.data(), key.size());
    std::ranges::stable_sort(keys, {}, [](const std::string& key) { return rank_of(key); });
    return keys;
}

json::value from_toml(const toml::node& node)
{
    if (const auto* const table = node.as_table()) {
        json::object object;
        for (auto&& [key, value] : *table)
            object.emplace(std::string(std::string_view(key)), from_toml(value));
        return object;
    }
    if (const auto* const list = node.as_array()) {
        json::array array;
        for (const auto& element : *list)
            array.push_back(from_toml(element));
        return array;
    }
    if (const auto text = node.value_exact<std::string>())
        return json::value(*text);
    if (const auto number = node.value_exact<std::int64_t>())
        return *number;
    if (const auto truth = node.value_exact<bool>())
        return *truth;
    if (const auto number = node.value_exact<double>())
        return *number;
    return json::value("a date or a time"); // no setting is one
}

std::string toml_value(const json::value& value)
{
    return json::serialize(value); // texts without control characters, whole numbers and truths are written alike
}

void append_table(std::string& text, const json::object& table)
{
    for (const std::string& key : keys_in_order(table))
        text += fmt::format("{} = {}\n", key, toml_value(table.at(key)));
}

// The cells of the line that begins at `at`, which moves behind it; `line` counts line ends within quotes as well.
struct CsvReader {
    std::string_view text;
    char separator;
    std::size_t at = 0;
    std::size_t line = 1;

    bool at_end() const { return at >= text.size(); }

    Result<std::vector<std::string>> cells()
    {
        std::vector<std::string> found(1);
        const std::size_t first_line = line;
        bool quoted = false;
        for (; at < text.size(); ++at) {
            const char c = text[at];
            if (c == '\n')
                ++line;
            if (quoted) {
                if (c != '"')
                    found.back() += c;
                else if (at + 1 < text.size() && text[at + 1] == '"')
                    found.back() += text[++at];
                else
                    quoted = false;
            } else if (c == '"' && trimmed(found.back()).empty()) {
                found.back().clear();
                quoted = true;
            } else if (c == separator) {
                found.emplace_back();
            } else if (c == '\n') {
                ++at;
                break;
            } else if (c != '\r') {
                found.back() += c;
            }
        }
        if (quoted)
            return Error{fmt::format("line {}: a quote is never closed", first_line)};
        return found;
    }
};

bool is_secret(std::string_view setting)
{
    constexpr std::array<std::string_view, 3> secrets{"password", "token", "secret"};
    return std::ranges::find(secrets, ascii_lower(trimmed(setting))) != secrets.end();
}

// The parsers limit how deep it is.
void find_secrets(const json::value& given, const std::string& place, std::vector<std::string>& found)
{
    if (const json::array* const list = given.if_array()) {
        for (std::size_t at = 0; at < list->size(); ++at)
            find_secrets(list->at(at), fmt::format("{}[{}]", place, at), found);
    } else if (const json::object* const object = given.if_object()) {
        for (const auto& [key, value] : *object) {
            const std::string_view name(key.data(), key.size());
            const std::string inner = fmt::format("{}{}{}", place, place.empty() ? "" : ".", name);
            if (is_secret(name))
                found.push_back(inner);
            else
                find_secrets(value, inner, found);
        }
    }
}

bool is_text(std::string_view setting)
{
    constexpr std::array<std::string_view, 6> texts{"name", "email", "account", "from", "server", "code"};
    return std::ranges::find(texts, setting) != texts.end();
}

bool is_blank_line(const std::vector<std::string>& cells)
{
    return std::ranges::all_of(cells, [](const std::string& cell) { return trimmed(cell).empty(); });
}

Result<std::vector<std::string>> header_of(CsvReader& reader)
{
    auto header = reader.cells();
    if (!header)
        return header;
    std::set<std::string> known;
    for (std::string& name : *header) {
        name = std::string(trimmed(name));
        if (name.empty() || !known.insert(name).second)
            return Error{
                fmt::format("line 1: the header names {}", name.empty() ? "an empty column" : name + " twice")};
    }
    if (!known.contains("code"))
        return Error{"line 1: the header has no column \"code\""};
    return header;
}

json::object element_of(const std::vector<std::string>& header, const std::vector<std::string>& cells, bool is_user)
{
    json::object element;
    for (std::size_t i = 0; i < header.size(); ++i) {
        const bool may_be_blank = is_text(header[i]) || (header[i] == "mode" && !is_user);
        if (may_be_blank || !trimmed(cells[i]).empty())
            element.emplace(header[i], cells[i]);
    }
    return element;
}

std::vector<std::string_view> columns_of(std::string_view part)
{
    if (part == "users")
        return {"code", "name",    "enabled", "email",           "mode",   "account", "from", "server",
                "port", "use_ssl", "login",   "allow_cleartext", "send_as"};
    if (part == "rows")
        return {"code", "kind", "name", "from", "mode"};
    return {"code", "name", "from", "mode"};
}

// Quoted where a reader would take it for more or less than one cell, whichever separator it takes.
std::string csv_cell(std::string_view text)
{
    if (text.find_first_of(",;\"\r\n") == std::string_view::npos)
        return std::string(text);
    std::string quoted = "\"";
    for (const char c : text)
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + '"';
}

std::string csv_line(const std::vector<std::string>& cells)
{
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i)
        line += (i == 0 ? "" : ",") + csv_cell(cells[i]);
    return line + '\n';
}

} // namespace

Result<json::object> settings_from_json(std::string_view text)
{
    boost::system::error_code error;
    const json::value value = json::parse(json::string_view(text.data(), text.size()), error);
    if (error)
        return Error{"it is not JSON: " + error.message()};
    if (!value.is_object())
        return Error{"it must be an object of JSON"};
    return value.get_object();
}

Result<json::object> settings_from_toml(std::string_view text)
{
    try {
        return from_toml(toml::parse(text)).get_object();
    } catch (const toml::parse_error& error) {
        return Error{fmt::format("line {}: {}", error.source().begin.line, error.description())};
    }
}

Result<SettingsTable> settings_from_csv(std::string_view text, std::string_view part)
{
    if (text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
    const std::string_view first = text.substr(0, text.find('\n'));
    CsvReader reader{text, std::ranges::count(first, ';') > std::ranges::count(first, ',') ? ';' : ','};
    const auto header = header_of(reader);
    if (!header)
        return header.error();
    SettingsTable table;
    json::array elements;
    std::string problems;
    while (!reader.at_end()) {
        const std::size_t line = reader.line;
        const auto cells = reader.cells();
        if (!cells)
            return Error{problems + cells.error().text};
        if (is_blank_line(*cells))
            continue;
        if (cells->size() != header->size()) {
            problems +=
                fmt::format("line {}: {} cells, where the header has {}\n", line, cells->size(), header->size());
            continue;
        }
        elements.push_back(element_of(*header, *cells, part == "users"));
        table.lines.push_back(line);
    }
    if (!problems.empty())
        return Error{problems.substr(0, problems.size() - 1)};
    table.settings.emplace(json::string_view(part.data(), part.size()), std::move(elements));
    return table;
}

std::vector<std::string> secrets_in(const json::value& given)
{
    std::vector<std::string> found;
    find_secrets(given, {}, found);
    return found;
}

std::string settings_as_json(const json::value& settings)
{
    std::string text = fmt::format(R"({{"format": {}, "version": {})", json::serialize(settings.at("format")),
                                   json::serialize(settings.at("version")));
    const auto one = [](const json::object& object) {
        std::string line;
        for (const std::string& key : keys_in_order(object))
            line += fmt::format("{}{}: {}", line.empty() ? "" : ", ", json::serialize(json::value(key)),
                                json::serialize(object.at(key)));
        return "{" + line + "}";
    };
    text += ",\n \"general\": " + one(settings.at("general").as_object());
    for (const char* const part : {"users", "rows", "models"}) {
        std::string lines;
        for (const json::value& element : settings.at(part).as_array())
            lines += (lines.empty() ? "\n  " : ",\n  ") + one(element.as_object());
        text += fmt::format(",\n \"{}\": [{}]", part, lines);
    }
    return text + "}\n";
}

std::string settings_as_toml(const json::value& settings)
{
    std::string text = fmt::format("format = {}\nversion = {}\n\n[general]\n", json::serialize(settings.at("format")),
                                   json::serialize(settings.at("version")));
    append_table(text, settings.at("general").as_object());
    for (const char* const part : {"users", "rows", "models"}) {
        for (const json::value& element : settings.at(part).as_array()) {
            text += fmt::format("\n[[{}]]\n", part);
            append_table(text, element.as_object());
        }
    }
    return text;
}

std::string settings_as_csv(const json::value& settings, std::string_view part)
{
    std::vector<std::string> columns;
    for (const std::string_view key : columns_of(part))
        columns.emplace_back(key);
    std::string text = csv_line(columns);
    for (const json::value& element : settings.at(json::string_view(part.data(), part.size())).as_array()) {
        std::vector<std::string> cells;
        for (const std::string& column : columns) {
            const json::value& value = element.at(column);
            cells.push_back(value.is_string() ? std::string(std::string_view(value.get_string()))
                                              : json::serialize(value));
        }
        text += csv_line(cells);
    }
    return text;
}

} // namespace mailroom
