// What the tests of the state machines share: replies from text, envelopes, and a transaction to talk to.
#pragma once

#include "transport/smtp/reply.hpp"
#include "transport/smtp/transaction.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom {

inline std::ostream& operator<<(std::ostream& out, Verdict value)
{
    return out << to_string(value);
}
inline std::ostream& operator<<(std::ostream& out, Scope value)
{
    return out << to_string(value);
}
inline std::ostream& operator<<(std::ostream& out, Cause value)
{
    return out << to_string(value);
}
inline std::ostream& operator<<(std::ostream& out, Stage value)
{
    return out << to_string(value);
}

} // namespace mailroom

namespace mailroom::smtp {

// One reply, its lines separated by \n: "250-mail.example.com\n250 PIPELINING".
inline Reply reply(std::string_view lines)
{
    const std::string octets = std::string(lines) + "\n";
    std::string_view input = octets;
    ReplyParser parser;
    auto parsed = parser.feed(input);
    EXPECT_TRUE(parsed && *parsed && input.empty()) << "not one reply: " << lines;
    return **parsed;
}

inline MailAddress address(std::string_view text)
{
    return MailAddress::parse(text).value();
}

inline Envelope envelope(std::vector<std::string> recipients, std::string_view sender = "anna@example.com")
{
    Envelope result{address(sender), {}};
    for (const std::string& recipient : recipients)
        result.recipients.push_back(address(recipient));
    return result;
}

inline const Loss gone{Cause::connection_lost, "gone"};

inline Capabilities pipelining()
{
    Capabilities server;
    server.pipelining = true;
    return server;
}

// A transaction with all that it refers to, and what it said last.
struct Dialogue {
    explicit Dialogue(Envelope mail, Capabilities capabilities = {}, std::uint64_t size = 1000,
                      Reset reset = Reset::not_needed)
        : to(std::move(mail)),
          server(std::move(capabilities)),
          transaction(to, size, server, Pipelining::next_message, reset),
          action(transaction.begin())
    {}
    Dialogue(const Dialogue&) = delete;
    Dialogue& operator=(const Dialogue&) = delete;

    Dialogue& hear(std::initializer_list<std::string_view> replies)
    {
        for (const std::string_view text : replies)
            action = transaction.on_reply(reply(text));
        return *this;
    }
    Dialogue& write_content()
    {
        EXPECT_TRUE(wants_content());
        transaction.on_committing();
        action = transaction.on_sent();
        return *this;
    }
    Dialogue& lose(const Loss& loss = gone)
    {
        action = transaction.on_lost(loss);
        return *this;
    }

    std::string said() const
    {
        const auto* send = std::get_if<Transaction::Send>(&action);
        return send != nullptr ? send->octets : "(nothing)";
    }
    bool waits() const { return std::holds_alternative<Transaction::AwaitReply>(action); }
    bool wants_content() const { return std::holds_alternative<Transaction::SendContent>(action); }
    bool is_finished() const { return std::holds_alternative<Transaction::Finish>(action); }
    const Transaction::Finish& end() const { return std::get<Transaction::Finish>(action); }
    const Outcome& outcome() const { return end().delivery.outcome; }
    const std::vector<Outcome>& recipients() const { return end().delivery.recipients; }
    std::vector<Verdict> verdicts() const
    {
        std::vector<Verdict> result;
        for (const Outcome& recipient : recipients())
            result.push_back(recipient.verdict);
        return result;
    }

    Envelope to;
    Capabilities server;
    Transaction transaction;
    Transaction::Action action;
};

} // namespace mailroom::smtp
