// Composes the messages that it reads as lines of JSON and writes each as one line of base64, or as `error: ...`. A
// bridge for tests/integration/test_composer_oracle.py, which reads them back with another implementation of MIME.
#include "transport/mime/base64.hpp"
#include "transport/mime/composer.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace {

namespace json = boost::json;
using namespace mailroom;

std::string text_of(const json::object& object, const char* key)
{
    const json::value* value = object.if_contains(key);
    return value == nullptr || value->is_null() ? std::string() : std::string(value->as_string());
}

std::optional<std::string> optional_text_of(const json::object& object, const char* key)
{
    const json::value* value = object.if_contains(key);
    return value == nullptr || value->is_null() ? std::nullopt : std::optional(std::string(value->as_string()));
}

// An address is {"name": ..., "address": ...}, so that names need no syntax on their way here.
NamedAddress address_of(const json::value& value)
{
    const json::object& object = value.as_object();
    return {HeaderText::make(text_of(object, "name")).value(), MailAddress::parse(text_of(object, "address")).value()};
}

std::vector<NamedAddress> addresses_of(const json::object& object, const char* key)
{
    std::vector<NamedAddress> result;
    if (const json::value* list = object.if_contains(key)) {
        for (const json::value& entry : list->as_array())
            result.push_back(address_of(entry));
    }
    return result;
}

std::string from_base64(std::string_view text)
{
    std::string result;
    unsigned bits = 0;
    int count = 0;
    static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (const char c : text) {
        const auto value = alphabet.find(c);
        if (value == std::string_view::npos)
            continue;
        bits = bits << 6 | static_cast<unsigned>(value);
        count += 6;
        if (count >= 8) {
            count -= 8;
            result += static_cast<char>(bits >> count & 0xFF);
        }
    }
    return result;
}

struct Sample {
    std::string uid, message_id, calendar;
    std::optional<std::string> text, html;
    std::vector<std::string> contents; // of the attachments
};

// "priority": "high", "unsubscribe": {"url", "mailto"}, "calendar": {"method", "content"}; each may be missing or null.
void add_optional(mime::Message& message, const json::object& object, Sample& sample)
{
    const auto object_of = [&](const char* key) {
        const json::value* value = object.if_contains(key);
        return value == nullptr || value->is_null() ? nullptr : &value->as_object();
    };
    if (const auto priority = optional_text_of(object, "priority"))
        message.priority = mime::priority_from(*priority).value();
    if (const json::object* unsubscribe = object_of("unsubscribe")) {
        message.unsubscribe = {mime::HttpsUrl::make(text_of(*unsubscribe, "url")).value(), std::nullopt};
        if (const auto mailto = optional_text_of(*unsubscribe, "mailto"))
            message.unsubscribe->mailto = MailAddress::parse(*mailto).value();
    }
    if (const json::object* calendar = object_of("calendar")) {
        sample.calendar = text_of(*calendar, "content");
        message.calendar = {mime::CalendarMethod::make(text_of(*calendar, "method")).value(), sample.calendar};
    }
}

mime::Message message_of(const json::object& object, Sample& sample)
{
    sample = {text_of(object, "uid"),           text_of(object, "message_id"),    {},
              optional_text_of(object, "text"), optional_text_of(object, "html"), {}};
    mime::Message message{.uid = sample.uid,
                          .message_id = sample.message_id,
                          .date = std::chrono::sys_seconds(std::chrono::seconds(object.at("date").as_int64())),
                          .from = address_of(object.at("from")),
                          .sender = std::nullopt,
                          .to = addresses_of(object, "to"),
                          .cc = addresses_of(object, "cc"),
                          .reply_to = addresses_of(object, "reply_to"),
                          .subject = HeaderText::make(text_of(object, "subject")).value(),
                          .priority = mime::Priority::normal,
                          .unsubscribe = std::nullopt,
                          .headers = {},
                          .text = sample.text,
                          .html = sample.html,
                          .calendar = std::nullopt,
                          .attachments = {}};
    if (const auto sender = optional_text_of(object, "sender"))
        message.sender = MailAddress::parse(*sender).value();
    add_optional(message, object, sample);
    for (const auto& [name, value] : object.at("headers").as_object())
        message.headers.emplace_back(HeaderName::make(name).value(),
                                     HeaderText::make(std::string(value.as_string())).value());
    for (const json::value& entry : object.at("attachments").as_array()) {
        const json::object& attachment = entry.as_object();
        sample.contents.push_back(from_base64(text_of(attachment, "content")));
        std::optional<mime::ContentId> id;
        if (const auto text = optional_text_of(attachment, "content_id"))
            id = mime::ContentId::make(*text).value();
        message.attachments.push_back({HeaderText::make(text_of(attachment, "name")).value(),
                                       mime::MediaType::make(text_of(attachment, "type")).value(), id,
                                       sample.contents.back().size()});
    }
    return message;
}

// As the service sends it: literals as they are, attachments encoded slice by slice.
std::string octets_of(const mime::Composition& composition, const Sample& sample)
{
    constexpr std::size_t slice = 3 * mime::slice_unit;
    std::string octets;
    for (const mime::Piece& piece : composition.pieces) {
        if (const auto* literal = std::get_if<std::string>(&piece)) {
            octets += *literal;
            continue;
        }
        std::string_view bytes = sample.contents[std::get<mime::EncodedAttachment>(piece).index];
        for (; !bytes.empty(); bytes.remove_prefix(std::min(slice, bytes.size())))
            mime::append_base64_lines(octets, bytes.substr(0, slice));
    }
    if (octets.size() != composition.size)
        throw std::runtime_error("size " + std::to_string(composition.size) + " but " + std::to_string(octets.size()) +
                                 " octets");
    return octets;
}

std::string answer(const std::string& line)
{
    try {
        Sample sample;
        const json::value value = json::parse(line);
        const mime::Message message = message_of(value.as_object(), sample);
        std::string result;
        mime::append_base64(result, octets_of(mime::compose(message), sample));
        return result;
    } catch (const std::exception& e) {
        return std::string("error: ") + e.what();
    }
}

} // namespace

int main()
{
    std::ios::sync_with_stdio(false);
    for (std::string line; std::getline(std::cin, line);)
        std::cout << answer(line) << '\n';
    return std::cout.flush() ? 0 : 1;
}
