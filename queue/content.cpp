#include "queue/content.hpp"

#include "queue/sql.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include <stdexcept>

namespace mailroom::queue {
namespace {

namespace json = boost::json;

std::string_view text_of(const json::value& value)
{
    return {value.as_string().data(), value.as_string().size()};
}

HeaderText header_text(std::string_view text, std::string_view what)
{
    auto proved = HeaderText::make(std::string(text));
    if (!proved)
        throw std::runtime_error(fmt::format("{}: {}", what, proved.error().text));
    return *std::move(proved);
}

NamedAddress named_address(const json::object& object)
{
    auto address = MailAddress::parse(text_of(object.at("address")));
    if (!address)
        throw std::runtime_error(address.error().text);
    return {header_text(text_of(object.at("name")), "a recipient's name"), *std::move(address)};
}

StoredRecipient::Kind kind_from(std::string_view kind)
{
    return kind == "cc"    ? StoredRecipient::Kind::cc
           : kind == "bcc" ? StoredRecipient::Kind::bcc
                           : StoredRecipient::Kind::to;
}

std::optional<std::string> optional_text(const pg::Result& rows, int row, int column)
{
    return rows.is_null(row, column) ? std::nullopt : std::optional<std::string>(rows.text(row, column));
}

json::object object_of(const pg::Result& rows, int row, int column)
{
    const std::string_view text = rows.text(row, column);
    return json::parse(json::string_view(text.data(), text.size())).as_object();
}

void fill_options(MessageContent& content, const pg::Result& rows, int row)
{
    if (!rows.is_null(row, 8))
        content.priority = rows.text(row, 8);
    if (!rows.is_null(row, 9)) {
        const json::object calendar = object_of(rows, row, 9);
        content.calendar = {std::string(text_of(calendar.at("method"))), std::string(text_of(calendar.at("content")))};
    }
    if (!rows.is_null(row, 10)) {
        const json::object unsubscribe = object_of(rows, row, 10);
        content.unsubscribe = {std::string(text_of(unsubscribe.at("url"))), std::nullopt};
        const json::value* mailto = unsubscribe.if_contains("mailto");
        if (mailto != nullptr && !mailto->is_null()) {
            auto address = MailAddress::parse(text_of(*mailto));
            if (!address)
                throw std::runtime_error("the address to unsubscribe at: " + address.error().text);
            content.unsubscribe->mailto = *std::move(address);
        }
    }
}

void fill(MessageContent& content, const pg::Result& rows, int row)
{
    const auto recipients = json::parse(json::string_view(rows.text(row, 1).data(), rows.text(row, 1).size()));
    for (const auto& item : recipients.as_array())
        content.recipients.push_back({kind_from(text_of(item.at("kind"))), named_address(item.as_object())});
    if (!rows.is_null(row, 2)) {
        const auto reply_to = json::parse(json::string_view(rows.text(row, 2).data(), rows.text(row, 2).size()));
        for (const auto& item : reply_to.as_array())
            content.reply_to.push_back(named_address(item.as_object()));
    }
    content.subject = header_text(rows.text(row, 3), "the subject");
    if (!rows.is_null(row, 4)) {
        const auto headers = json::parse(json::string_view(rows.text(row, 4).data(), rows.text(row, 4).size()));
        for (const auto& [name, value] : headers.as_object()) {
            auto proved = HeaderName::make(std::string(name.data(), name.size()));
            if (!proved)
                throw std::runtime_error("a header's name: " + proved.error().text);
            content.headers.emplace_back(*std::move(proved), header_text(text_of(value), "a header"));
        }
    }
    fill_options(content, rows, row);
    content.text = optional_text(rows, row, 5);
    content.html = optional_text(rows, row, 6);
    for (const auto* body : {&content.text, &content.html}) {
        if (*body && !is_utf8(**body))
            throw std::runtime_error("a body is not valid UTF-8");
    }
}

using Blobs = std::map<std::int64_t, std::shared_ptr<const std::string>>;

pg::DbResult<void> read_blobs(pg::Connection& connection, Generation generation, Blobs& blobs)
{
    static const pg::Statement statement = sql("blobs");
    std::vector<std::int64_t> ids;
    for (const auto& [id, bytes] : blobs)
        ids.push_back(id);
    auto rows = connection.run(statement, pg::Params().number(generation).numbers(ids));
    if (!rows)
        return rows.error();
    for (int row = 0; row < rows->rows(); ++row)
        blobs[rows->number(row, 0)] = std::make_shared<const std::string>(rows->text(row, 1));
    return {};
}

pg::DbResult<void> read_attachments(pg::Connection& connection, Generation generation,
                                    const std::vector<MessageId>& ids, std::int64_t inline_limit,
                                    std::map<MessageId, MessageContent>& contents)
{
    static const pg::Statement statement = sql("attachments");
    auto rows = connection.run(statement, pg::Params().number(generation).numbers(ids));
    if (!rows)
        return rows.error();
    Blobs small;
    for (int row = 0; row < rows->rows(); ++row) {
        MessageContent& content = contents[rows->number(row, 0)];
        auto name = HeaderText::make(std::string(rows->text(row, 1)));
        if (!name) {
            content.problem = "an attachment's name: " + name.error().text;
            continue;
        }
        content.attachments.push_back({*std::move(name), std::string(rows->text(row, 2)),
                                       std::string(rows->text(row, 3)), rows->number(row, 4), rows->number(row, 5),
                                       nullptr});
        if (content.attachments.back().size <= inline_limit)
            small.emplace(content.attachments.back().blob, nullptr);
    }
    if (small.empty())
        return {};
    if (auto read = read_blobs(connection, generation, small); !read)
        return read.error();
    for (const MessageId id : ids) {
        for (StoredAttachment& attachment : contents[id].attachments) {
            if (const auto found = small.find(attachment.blob); found != small.end())
                attachment.bytes = found->second;
        }
    }
    return {};
}

pg::DbResult<void> read_results(pg::Connection& connection, Generation generation, const std::vector<MessageId>& ids,
                                std::map<MessageId, MessageContent>& contents)
{
    static const pg::Statement statement = sql("recipient_results");
    auto rows = connection.run(statement, pg::Params().number(generation).numbers(ids));
    if (!rows)
        return rows.error();
    for (int row = 0; row < rows->rows(); ++row)
        contents[rows->number(row, 0)].results[static_cast<int>(rows->number(row, 1))] =
            static_cast<int>(rows->number(row, 2));
    return {};
}

} // namespace

pg::DbResult<std::map<MessageId, MessageContent>> read_content(pg::Connection& connection, Generation generation,
                                                               const std::vector<MessageId>& ids, Results results,
                                                               std::int64_t inline_limit)
{
    static const pg::Statement statement = sql("content");
    std::map<MessageId, MessageContent> contents;
    auto rows = connection.run(statement, pg::Params().number(generation).numbers(ids));
    if (!rows)
        return rows.error();
    std::vector<MessageId> with_attachments;
    for (int row = 0; row < rows->rows(); ++row) {
        MessageContent& content = contents[rows->number(row, 0)];
        try {
            fill(content, *rows, row);
        } catch (const std::exception& error) {
            content.problem = error.what();
        }
        if (rows->number(row, 7) > 0)
            with_attachments.push_back(rows->number(row, 0));
    }
    if (!with_attachments.empty()) {
        if (auto read = read_attachments(connection, generation, with_attachments, inline_limit, contents); !read)
            return read.error();
    }
    if (results == Results::wanted) {
        if (auto read = read_results(connection, generation, ids, contents); !read)
            return read.error();
    }
    return contents;
}

pg::DbResult<std::string> read_slice(pg::Connection& connection, Generation generation, std::int64_t blob,
                                     std::int64_t offset, std::int64_t size)
{
    static const pg::Statement statement = sql("blob_slice");
    auto rows = connection.run(statement, pg::Params().number(generation).number(blob).number(offset).number(size));
    if (!rows)
        return rows.error();
    if (rows->rows() == 0)
        return pg::DbError{pg::DbError::Kind::refused,
                           fmt::format("blob {} of generation {} is not in the database", blob, generation),
                           {},
                           {},
                           {}};
    return std::string(rows->text(0, 0));
}

} // namespace mailroom::queue
