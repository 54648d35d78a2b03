// The whole client over real sockets of 127.0.0.1, against a peer that follows a script: what its tests share.
#pragma once

#include "tests/support/scripted_peer.hpp"
#include "tests/unit/smtp/dialogue.hpp"
#include "transport/content.hpp"
#include "transport/smtp/connection.hpp"
#include "transport/smtp/submit.hpp"
#include "transport/tls.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <exception>
#include <optional>
#include <stdexcept>

namespace mailroom::smtp {
using namespace mailroom::test;
namespace asio = boost::asio;

class Pieces : public Content {
public:
    explicit Pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces))
    {
        for (const std::string& piece : pieces_)
            size_ += piece.size();
    }
    std::uint64_t size() const override { return size_; }
    asio::awaitable<std::string_view> next() override
    {
        if (fail_at_ == at_)
            throw std::runtime_error("the blob is gone");
        co_return at_ < pieces_.size() ? std::string_view(pieces_[at_++]) : std::string_view();
    }
    std::size_t taken() const { return at_; }
    void claim_size(std::uint64_t size) { size_ = size; }
    void fail_at(std::size_t piece) { fail_at_ = piece; }

private:
    std::vector<std::string> pieces_;
    std::uint64_t size_ = 0;
    std::size_t at_ = 0;
    std::optional<std::size_t> fail_at_;
};

inline Pieces small_content()
{
    return Pieces({"Subject: hello\r\n\r\nBody\r\n"});
}

// More than the socket buffers of both sides hold.
inline std::string large_text()
{
    std::string text;
    while (text.size() < 32U * 1024 * 1024)
        text.append(76, 'x').append("\r\n");
    return text;
}

inline const Script no_steps;

inline Script operator+(Script first, const Script& second)
{
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

inline Script opened(const std::string& extensions = "250 OK")
{
    return {Say{"220 mail.example.com ESMTP\r\n"}, Expect{"EHLO erp.example.com"},
            Say{"250-mail.example.com\r\n" + extensions + "\r\n"}};
}

inline const Script envelope_taken = {Expect{"MAIL FROM:<anna@example.com>"},
                                      Say{"250 ok\r\n"},
                                      Expect{"RCPT TO:<b@example.com>"},
                                      Say{"250 ok\r\n"},
                                      Expect{"DATA"},
                                      Say{"354 go\r\n"}};
inline const Script envelope_taken_at_once = {Expect{"MAIL FROM:<anna@example.com>"}, Expect{"RCPT TO:<b@example.com>"},
                                              Expect{"DATA"}, Say{"250 ok\r\n250 ok\r\n354 go\r\n"}};
inline const Script content_taken = {ReadContent{}, Say{"250 2.0.0 queued\r\n"}};
inline const Script quit_taken = {Expect{"QUIT"}, Say{"221 bye\r\n"}};

class Session : public testing::Test {
protected:
    ~Session() override { end_peer(); }

    // Lets the peer say its last word.
    void finish_peer()
    {
        while (!peer->is_done())
            step();
    }

    void end_peer()
    {
        if (!peer)
            return;
        connection.reset();
        peer->stop_accepting();
        while (!peer->is_done()) {
            peer->release();
            step();
        }
        EXPECT_THAT(peer->complaints(), testing::IsEmpty());
    }

    void start_peer(std::vector<Script> scripts, const Certificate& certificate = {}, NewestTls newest = NewestTls::any)
    {
        end_peer();
        peer.emplace(io, std::move(scripts), certificate, newest);
        server.port = Port::make(peer->port()).value();
    }

    void trust(const Certificate& certificate)
    {
        const TemporaryFile file(certificate.certificate);
        tls.emplace(tls::ClientContext::make(file.path()).value());
        options.tls = &*tls;
    }

    void step()
    {
        io.restart();
        if (io.run_one_for(std::chrono::seconds(20)) > 0)
            return;
        ADD_FAILURE() << "nothing happens any more"; // with the trace of the case
        throw std::logic_error("nothing happens any more");
    }

    // Until nobody can do more by himself.
    void settle()
    {
        do
            io.restart();
        while (io.poll() > 0);
    }

    // Until the body ends; the peer may be in the middle of its script then.
    void run(asio::awaitable<void> body)
    {
        bool done = false;
        std::exception_ptr thrown;
        asio::co_spawn(io, std::move(body), [&](std::exception_ptr error) {
            done = true;
            thrown = error;
        });
        while (!done)
            step();
        if (thrown)
            std::rethrow_exception(thrown);
    }

    asio::awaitable<void> do_open()
    {
        auto result = co_await open(server, credentials, options);
        if (auto* outcome = std::get_if<Outcome>(&result))
            refused = *outcome;
        else
            connection = std::move(std::get<std::unique_ptr<Connection>>(result));
    }

    asio::awaitable<void> do_submit(Content& content) { delivery = co_await submit(*connection, to, content, hooks()); }

    Hooks hooks()
    {
        return {[this] { return commit(); }, following, expires, &progress};
    }

    asio::awaitable<std::optional<Loss>> commit()
    {
        if (before_commit)
            before_commit();
        if (recording_takes.count() > 0) {
            asio::steady_timer disk(io, recording_takes);
            co_await disk.async_wait(asio::as_tuple(asio::use_awaitable));
        }
        co_return unrecorded;
    }

    asio::awaitable<void> do_open_and_submit(Content& content)
    {
        co_await do_open();
        if (connection)
            co_await do_submit(content);
    }

    asio::awaitable<void> do_all(Content& content)
    {
        co_await do_open_and_submit(content);
        if (connection)
            co_await close(std::move(connection));
    }

    // Opens and expects a refusal of this kind.
    void expect_refusal(Cause cause, Stage stage, Scope scope = Scope::server)
    {
        run(do_open());
        EXPECT_FALSE(connection);
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->verdict, Verdict::try_again);
        EXPECT_EQ(refused->cause, cause) << refused->text;
        EXPECT_EQ(refused->stage, stage);
        EXPECT_EQ(refused->scope, scope);
    }

    asio::io_context io{1};
    std::optional<ScriptedPeer> peer;
    Server server{"127.0.0.1", *Port::make(1), Security::none};
    const Credentials* credentials = nullptr;
    Credentials tim{"tim", Secret("secret")};
    OpenOptions options{
        nullptr, ClientName::make("erp.example.com").value(), {}, Cleartext::forbidden, Pipelining::next_message};
    std::optional<tls::ClientContext> tls;
    std::function<void()> before_commit;
    std::chrono::milliseconds recording_takes{0}; // by the journal
    std::optional<Loss> unrecorded;               // what it says then
    std::function<std::optional<Following>()> following;
    std::chrono::steady_clock::time_point expires = std::chrono::steady_clock::time_point::max();
    Progress progress;
    Envelope to = envelope({"b@example.com"});

    std::unique_ptr<Connection> connection;
    std::optional<Outcome> refused;
    Delivery delivery;
};

} // namespace mailroom::smtp
