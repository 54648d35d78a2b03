// Answers that come while something is still being written: in their turn, or before it.
#include "tests/unit/smtp/session.hpp"
#include "transport/smtp/wire.hpp"

#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

// The server answers what it got of a write, while the rest of it is more than the buffers of both sides hold.
class AnswerAmidAWrite : public Session, public testing::WithParamInterface<Security> {
protected:
    asio::awaitable<void> connect()
    {
        auto reached = co_await Wire::connect(server.host, server.port, options.timeouts);
        wire = std::move(std::get<std::unique_ptr<Wire>>(reached));
        if (GetParam() == Security::implicit_tls)
            co_await wire->handshake(*tls, server.host, server.port);
    }

    asio::awaitable<void> write(std::size_t answer_is_due_after)
    {
        wire->stop_writing_on_answer();
        written = co_await wire->write(head, tail, answer_is_due_after);
        done = true;
    }

    asio::awaitable<void> read() { answer = co_await wire->read_reply(); }

    void write_and_hear(std::size_t answer_is_due_after)
    {
        const Certificate certificate = make_certificate("127.0.0.1");
        trust(certificate);
        Script script{ReadOctets{head.size()}, Say{"250 ok\r\n"}, Stall{}, AwaitEnd{}};
        if (GetParam() == Security::implicit_tls)
            script.insert(script.begin(), StartTls{});
        start_peer({script}, certificate);
        run(connect());
        asio::co_spawn(io, write(answer_is_due_after), [](const std::exception_ptr&) {});
        settle();
        peer->release();
        while (!done)
            step();
        run(read());
    }

    const std::string head = "Subject: hello\r\n\r\nBody\r\n.\r\n";
    const std::string tail = large_text();
    std::unique_ptr<Wire> wire;
    Wire::Written written;
    bool done = false;
    Wire::Answer answer = Loss{};
};

INSTANTIATE_TEST_SUITE_P(Security, AnswerAmidAWrite, testing::Values(Security::none, Security::implicit_tls));

TEST_P(AnswerAmidAWrite, EndsItWhereNoneIsDue)
{
    write_and_hear(Wire::never);
    EXPECT_TRUE(written.loss);
    EXPECT_LT(written.at_most, head.size() + tail.size());
    EXPECT_TRUE(std::holds_alternative<Reply>(answer)) << "it says why";
}

TEST_P(AnswerAmidAWrite, EndsItWhereTheServerCannotHaveGotAllThatItAnswers)
{
    write_and_hear(head.size() + tail.size());
    EXPECT_TRUE(written.loss);
}

TEST_P(AnswerAmidAWrite, LeavesItAloneInItsTurn)
{
    write_and_hear(head.size());
    EXPECT_FALSE(written.loss) << written.loss->text;
    EXPECT_TRUE(std::holds_alternative<Reply>(answer));
    EXPECT_FALSE(wire->loss());
}

} // namespace
} // namespace mailroom::smtp
