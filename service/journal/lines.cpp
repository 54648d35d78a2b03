#include "service/journal/lines.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <charconv>

namespace mailroom::journal {
namespace {

namespace json = boost::json;

constexpr std::string_view magic = "mailroom-journal 1 ";

// The next word of a line, without the blank behind it.
std::string_view word(std::string_view& rest)
{
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view found = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return found;
}

template <class Number>
bool number(std::string_view& rest, Number& value)
{
    const std::string_view digits = word(rest);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && !digits.empty() && end == digits.data() + digits.size();
}

std::string text_at(const json::object& object, json::string_view key)
{
    const json::value* const found = object.if_contains(key);
    return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

std::int64_t number_at(const json::object& object, json::string_view key)
{
    const json::value* const found = object.if_contains(key);
    return found != nullptr && found->is_int64() ? found->get_int64() : 0;
}

std::optional<json::object> object_in(std::string_view text)
{
    boost::system::error_code error;
    json::value value = json::parse(json::string_view(text.data(), text.size()), error);
    return !error && value.is_object() ? std::optional(std::move(value.get_object())) : std::nullopt;
}

bool read_carried(std::string_view rest, Recollection& recollection)
{
    Recollection::Lease lease;
    if (!number(rest, lease.first) || !number(rest, lease.second) || rest.empty())
        return false;
    recollection.messages[lease].uid = rest;
    recollection.taken.push_back(lease);
    return true;
}

bool read_begun(std::string_view rest, Recollection& recollection)
{
    Recollection::Lease lease;
    std::int64_t resend_after = 0;
    if (!number(rest, lease.first) || !number(rest, lease.second) || !number(rest, resend_after))
        return false;
    Remembered& message = recollection.messages[lease];
    message.is_begun = true;
    message.resend_after = resend_after >= 0 ? std::optional(std::chrono::milliseconds(resend_after)) : std::nullopt;
    return true;
}

bool read_outcome(std::string_view rest, Recollection& recollection, Remembered::Outcome outcome)
{
    std::int64_t version = 0;
    if (outcome == Remembered::Outcome::put_back && !number(rest, version))
        return false;
    const auto object = object_in(rest);
    if (!object || number_at(*object, "id") == 0)
        return false;
    Remembered& message =
        recollection.messages[{number_at(*object, "id"), static_cast<std::int32_t>(number_at(*object, "lease_no"))}];
    message.outcome = outcome;
    message.settings_version = version;
    message.json = rest;
    if (message.uid.empty())
        message.uid = text_at(*object, "uid");
    return true;
}

bool read_line(std::string_view line, Recollection& recollection)
{
    const std::string_view kind = word(line);
    if (kind == "c")
        return read_carried(line, recollection);
    if (kind == "b")
        return read_begun(line, recollection);
    if (kind == "e")
        return read_outcome(line, recollection, Remembered::Outcome::ended);
    if (kind == "p")
        return read_outcome(line, recollection, Remembered::Outcome::put_back);
    return line.empty() && kind.empty();
}

} // namespace

std::string line_of(const Header& header)
{
    const json::object object{{"dispatcher", header.dispatcher},
                              {"token", header.token},
                              {"database", header.database},
                              {"boot", header.boot},
                              {"synced", header.is_synced},
                              {"host", header.host},
                              {"pid", header.pid},
                              {"version", header.version}};
    return fmt::format("{}{}\n", magic, json::serialize(object));
}

std::string carried_line(const queue::Claimed& message)
{
    return fmt::format("c {} {} {}\n", message.id, message.lease_no, message.uid);
}

std::string begun_line(const queue::Claimed& message, std::optional<std::chrono::milliseconds> resend_after)
{
    return fmt::format("b {} {} {}\n", message.id, message.lease_no, resend_after ? resend_after->count() : -1);
}

std::string ended_line(std::string_view ending)
{
    return fmt::format("e {}\n", ending);
}

std::string put_back_line(std::int64_t settings_version, std::string_view suspension)
{
    return fmt::format("p {} {}\n", settings_version, suspension);
}

Result<Header> read_header(std::string_view text)
{
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos || !text.starts_with("mailroom-journal "))
        return Error{"it is no journal of mailroom"};
    if (!text.starts_with(magic))
        return Error{"it was written by another version of mailroom"};
    const auto object = object_in(text.substr(magic.size(), end - magic.size()));
    if (!object)
        return Error{"its first line cannot be read"};
    const json::value* const synced = object->if_contains("synced");
    Header header{number_at(*object, "dispatcher"),
                  text_at(*object, "token"),
                  text_at(*object, "database"),
                  text_at(*object, "boot"),
                  synced != nullptr && synced->is_bool() && synced->get_bool(),
                  text_at(*object, "host"),
                  number_at(*object, "pid"),
                  text_at(*object, "version")};
    if (header.dispatcher == 0 || header.token.empty() || header.database.empty())
        return Error{"its first line does not say whose it is"};
    return header;
}

Result<Recollection> recollect(std::string_view text)
{
    auto header = read_header(text);
    if (!header)
        return header.error();
    Recollection recollection{*std::move(header), {}, {}, 0};
    text.remove_prefix(text.find('\n') + 1);
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        if (end == std::string_view::npos) { // its writer died, or its disk was full: what it was about did not happen
            ++recollection.unreadable;
            break;
        }
        if (!read_line(text.substr(0, end), recollection))
            ++recollection.unreadable;
        text.remove_prefix(end + 1);
    }
    return recollection;
}

} // namespace mailroom::journal
