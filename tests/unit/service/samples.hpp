// Messages as they are claimed, decided and carried, for the tests of the service.
#pragma once

#include "service/job.hpp"
#include "service/outgoing.hpp"
#include "tests/unit/rules/samples.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mailroom::samples {

// ANNA sends by General's account at smtp.erp.example, as herself.
inline rules::Identity identity()
{
    static const rules::samples::World world = rules::samples::world(); // the identity points into it
    return std::get<rules::Identity>(world.resolve().answer);
}

inline queue::Claimed claimed(queue::MessageId id = 7, Lane lane = Lane::normal)
{
    queue::Claimed message;
    message.id = id;
    message.lease_no = 3;
    message.dispatcher = 1;
    message.lane = lane;
    message.uid = "0b7e";
    message.user_id = rules::samples::anna_id;
    message.user_code = "ANNA";
    message.dated_at = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + std::chrono::microseconds(1'999'999);
    return message;
}

inline Job job(queue::MessageId id, Lane lane)
{
    return {.claimed = claimed(id, lane), .table_row = "S11", .identity = identity()};
}

inline MailAddress address(const std::string& text)
{
    return MailAddress::parse(text).value();
}

inline HeaderText header(std::string text)
{
    return HeaderText::make(std::move(text)).value();
}

using Kind = queue::StoredRecipient::Kind;

inline queue::StoredRecipient recipient(const std::string& text, Kind kind = Kind::to)
{
    return {kind, {{}, address(text)}};
}

inline queue::MessageContent content(const std::vector<std::string>& recipients)
{
    queue::MessageContent content;
    for (const auto& text : recipients)
        content.recipients.push_back(recipient(text));
    content.subject = header("Hello");
    content.text = "Body";
    return content;
}

} // namespace mailroom::samples
