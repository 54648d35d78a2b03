#include "config/text.hpp"

#include "service/commands/commands.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <thread>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

Result<std::string> read_file(const std::string& path)
{
    if (path == "-")
        return Result<std::string>(boost::system::in_place_value, std::istreambuf_iterator<char>(std::cin),
                                   std::istreambuf_iterator<char>());
    std::ifstream file(path, std::ios::binary);
    if (!file)
        return Error{fmt::format("{}: {}", path, std::strerror(errno))};
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (file.bad())
        return Error{fmt::format("{}: it cannot be read: {}", path, std::strerror(errno))};
    return Result<std::string>(boost::system::in_place_value,
                               std::move(text)); // plain: a text could as well be an Error
}

std::string base64(const std::string& bytes)
{
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    const int size =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(size));
    return text;
}

std::string media_type_of(const std::filesystem::path& path)
{
    static const std::map<std::string, std::string> known{
        {".pdf", "application/pdf"}, {".txt", "text/plain"},     {".csv", "text/csv"},  {".html", "text/html"},
        {".png", "image/png"},       {".jpg", "image/jpeg"},     {".gif", "image/gif"}, {".jpeg", "image/jpeg"},
        {".xml", "application/xml"}, {".zip", "application/zip"}};
    const auto found = known.find(path.extension().string());
    return found == known.end() ? "application/octet-stream" : found->second;
}

Result<json::object> attachment(const std::string& path, const std::string& content_id)
{
    auto bytes = read_file(path);
    if (!bytes)
        return bytes.error();
    const std::filesystem::path file(path);
    json::object object{{"name", file.filename().string()}, {"type", media_type_of(file)}, {"content", base64(*bytes)}};
    if (!content_id.empty())
        object.emplace("content_id", content_id);
    return object;
}

void put(json::object& message, const char* key, const std::string& value)
{
    if (!value.empty())
        message[key] = value;
}

void put(json::object& message, const char* key, const std::vector<std::string>& values)
{
    if (!values.empty())
        message[key] = json::array(values.begin(), values.end());
}

Result<void> put_bodies(json::object& message, const SendArguments& arguments)
{
    if (arguments.text)
        message["text"] = *arguments.text;
    for (const auto& [key, path] : {std::pair{"text", arguments.text_file}, std::pair{"html", arguments.html_file}}) {
        if (path.empty())
            continue;
        auto body = read_file(path);
        if (!body)
            return body.error();
        message[key] = *body;
    }
    return {};
}

Result<void> put_attachments(json::object& message, const SendArguments& arguments)
{
    json::array attachments;
    std::vector<std::pair<std::string, std::string>> files; // content id and path
    for (const auto& path : arguments.attach)
        files.emplace_back("", path);
    for (const auto& image : arguments.inline_images) {
        const auto equals = image.find('=');
        if (equals == std::string::npos)
            return Error{fmt::format("--inline {}: it must be content-id=file", image)};
        files.emplace_back(image.substr(0, equals), image.substr(equals + 1));
    }
    for (const auto& [content_id, path] : files) {
        auto object = attachment(path, content_id);
        if (!object)
            return object.error();
        attachments.push_back(*std::move(object));
    }
    if (!attachments.empty())
        message["attachments"] = std::move(attachments);
    return {};
}

Result<void> put_headers(json::object& message, const SendArguments& arguments)
{
    json::object headers;
    for (const auto& header : arguments.headers) {
        const auto colon = header.find(':');
        if (colon == std::string::npos)
            return Error{fmt::format("--header {}: it must be \"Name: value\"", header)};
        headers[header.substr(0, colon)] = std::string(trimmed(header.substr(colon + 1)));
    }
    if (!headers.empty())
        message["headers"] = std::move(headers);
    return {};
}

// The message as mailroom.enqueue takes it: the file first, the arguments over it.
Result<json::object> message_from(const SendArguments& arguments)
{
    json::object message;
    if (!arguments.file.empty()) {
        auto text = read_file(arguments.file);
        if (!text)
            return text.error();
        boost::system::error_code ec;
        json::value value = json::parse(*text, ec);
        if (ec || !value.is_object())
            return Error{fmt::format("{}: it must hold one JSON object, a message as for mailroom.enqueue{}",
                                     arguments.file, ec ? " (" + ec.message() + ")" : "")};
        message = std::move(value.as_object());
    }
    put(message, "user", arguments.user);
    put(message, "form", arguments.form);
    put(message, "model", arguments.model);
    put(message, "to", arguments.to);
    put(message, "cc", arguments.cc);
    put(message, "bcc", arguments.bcc);
    put(message, "reply_to", arguments.reply_to);
    if (arguments.subject)
        message["subject"] = *arguments.subject;
    put(message, "document", arguments.document);
    put(message, "batch", arguments.batch);
    put(message, "idempotency_key", arguments.key);
    put(message, "lane", arguments.lane);
    put(message, "not_before", arguments.not_before);
    put(message, "expires_at", arguments.expires_at);
    for (const auto& step : {put_bodies, put_attachments, put_headers}) {
        if (auto done = step(message, arguments); !done)
            return done.error();
    }
    return message;
}

int exit_of(std::string_view state)
{
    if (state == "sent")
        return Exit::ok;
    if (state == "held")
        return Exit::held;
    if (state == "in_doubt")
        return Exit::in_doubt;
    return state == "failed" || state == "expired" || state == "partly_sent" ? Exit::not_sent : Exit::still_waiting;
}

void print_state(const std::string& uid, const json::value& state)
{
    fmt::print("{} {}", uid, text_at(state, "state"));
    for (const char* key : {"reason", "subject", "reply", "next_attempt"}) {
        if (const std::string text = text_at(state, key); !text.empty())
            fmt::print("{}{}", std::string_view(key) == "reason" ? ": " : " | ", text);
    }
    fmt::print("\n");
    if (const std::string remedy = text_at(state, "remedy"); !remedy.empty())
        fmt::print("  {}\n", remedy);
}

// A held message whose hold says in_doubt is in doubt.
std::string state_name(const json::value& state)
{
    return text_at(state, "reason") == "in_doubt" ? "in_doubt" : text_at(state, "state");
}

int follow(const Options& options, pg::Connection& connection, const std::string& uid, std::chrono::seconds timeout)
{
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::string shown;
    for (;;) {
        const auto row = connection.run({"state", "SELECT mailroom.state($1::uuid)::text"}, pg::Params().text(uid));
        if (!row)
            return complain(options, explained("asking for the message's state", row.error()).text);
        if (row->rows() == 0 || row->is_null(0, 0))
            return complain(options, fmt::format("message {} is not visible to this login", uid));
        const json::value state = json::parse(json::string_view(row->text(0, 0).data(), row->text(0, 0).size()));
        const std::string name = state_name(state);
        const int exit = exit_of(name);
        const bool over = exit != Exit::still_waiting || std::chrono::steady_clock::now() >= deadline;
        if (options.output == Output::json && over)
            print_json(state);
        else if (options.output == Output::text && name != shown)
            print_state(uid, state);
        if (over)
            return exit;
        shown = name;
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
}

} // namespace

int send(const Options& options, const SendArguments& arguments)
{
    const auto message = message_from(arguments);
    if (!message)
        return complain(options, message.error().text, Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto row = connection->run({"", "SELECT mailroom.enqueue($1::jsonb)::text"},
                                     pg::Params().text(json::serialize(*message)), std::chrono::seconds(60));
    if (!row)
        return complain(options, explained("the message was not enqueued", row.error()).text);
    const std::string uid(row->text(0, 0));
    if (arguments.wait)
        return follow(options, *connection, uid, arguments.timeout);
    if (options.output == Output::json)
        print_json({{"uid", uid}});
    else
        fmt::print("{}\n", uid);
    return Exit::ok;
}

} // namespace mailroom::commands
