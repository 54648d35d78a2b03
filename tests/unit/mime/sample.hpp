// Messages and compositions for the composer's tests.
#pragma once

#include "transport/mime/composer.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mailroom::mime {

inline HeaderText header_text(std::string text)
{
    return HeaderText::make(std::move(text)).value();
}

inline MailAddress address(std::string_view text)
{
    return MailAddress::parse(text).value();
}

inline NamedAddress named(std::string name, std::string_view text)
{
    return {header_text(std::move(name)), address(text)};
}

inline Attachment attachment(std::string name, std::string_view type, std::uint64_t size)
{
    return {header_text(std::move(name)), MediaType::make(type).value(), std::nullopt, size};
}

inline Attachment inline_image(std::string name, std::string_view id, std::uint64_t size)
{
    return {header_text(std::move(name)), MediaType::make("image/png").value(), ContentId::make(id).value(), size};
}

// From a@example.com to b@example.org, on Tuesday 2026-12-01 09:05:07 UTC, with no content yet.
inline Message message()
{
    return {.uid = "7-42",
            .message_id = "7-42@mail.example.com",
            .date =
                std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + std::chrono::seconds(9 * 3600 + 5 * 60 + 7),
            .from = named("", "a@example.com"),
            .sender = std::nullopt,
            .to = {named("", "b@example.org")},
            .cc = {},
            .reply_to = {},
            .subject = header_text("Hello"),
            .priority = Priority::normal,
            .unsubscribe = std::nullopt,
            .headers = {},
            .text = std::nullopt,
            .html = std::nullopt,
            .calendar = std::nullopt,
            .attachments = {}};
}

// All octets; attachments consist of the letter x.
inline std::string octets(const Message& message)
{
    std::string result;
    for (const Piece& piece : compose(message).pieces) {
        if (const auto* literal = std::get_if<std::string>(&piece))
            result += *literal;
        else
            append_base64_lines(result,
                                std::string(message.attachments[std::get<EncodedAttachment>(piece).index].size, 'x'));
    }
    return result;
}

inline std::vector<std::string_view> lines(std::string_view text)
{
    std::vector<std::string_view> result;
    while (!text.empty()) {
        const auto end = text.find("\r\n");
        result.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
    }
    return result;
}

// One field of the message's own header with its folded lines, without its last line end; empty: there is none.
inline std::string field(std::string_view message, std::string_view name)
{
    const std::string header = "\r\n" + std::string(message.substr(0, message.find("\r\n\r\n"))) + "\r\n";
    const auto start = header.find("\r\n" + std::string(name) + ":");
    if (start == std::string::npos)
        return {};
    auto end = start;
    do
        end = header.find("\r\n", end + 2);
    while (end + 2 < header.size() && header[end + 2] == ' ');
    return header.substr(start + 2, end - start - 2);
}

inline std::string body(std::string_view message)
{
    return std::string(message.substr(message.find("\r\n\r\n") + 4));
}

} // namespace mailroom::mime
