#include "service/connections.hpp"

#include "tests/support/scripted_peer.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mailroom {
namespace {

namespace asio = boost::asio;
using namespace mailroom::test;
using namespace std::chrono_literals;
using Prefer = Connections::Prefer;
using testing::IsEmpty;

Script operator+(Script first, const Script& second)
{
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

const Script greeted = {Say{"220 mail.example.com\r\n"}, Expect{"EHLO erp.example.com"},
                        Say{"250-mail.example.com\r\n250 AUTH PLAIN\r\n"}, Expect{"AUTH PLAIN "}};
const Script opened = greeted + Script{Say{"235 ok\r\n"}};
const Script open_to_the_end = opened + Script{AwaitEnd{}};
const Script refused = greeted + Script{Say{"535 5.7.8 wrong\r\n"}};
const Script busy = {Say{"421 4.3.2 come back later\r\n"}};

std::size_t count(std::string_view text, std::string_view word)
{
    std::size_t found = 0;
    for (std::size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1))
        ++found;
    return found;
}

// One acquire, as a sender does it.
struct Asked {
    std::optional<Connections::Acquired> answer;
    Progress progress;

    bool has_session() const { return answer && std::holds_alternative<Connections::Session>(*answer); }
    Connections::Session& session() { return std::get<Connections::Session>(*answer); }
    Cause cause() const
    {
        const auto* outcome = answer ? std::get_if<Outcome>(&*answer) : nullptr;
        return outcome != nullptr ? outcome->cause : Cause::none;
    }
};

asio::awaitable<void> acquire(Connections& connections, Login login, Prefer prefer, std::shared_ptr<Asked> asked)
{
    asked->answer = co_await connections.acquire(login, prefer, &asked->progress);
}

asio::awaitable<void> give_back(Connections& connections, Login login, std::unique_ptr<smtp::Connection> connection,
                                bool& done)
{
    co_await connections.give_back(login, std::move(connection));
    done = true;
}

asio::awaitable<void> close_idle(Connections& connections, bool& done)
{
    co_await connections.close_idle();
    done = true;
}

class ConnectionsTest : public testing::Test {
protected:
    ~ConnectionsTest() override
    {
        connections.reset();
        asked.clear();
        if (!peer)
            return;
        peer->stop_accepting();
        peer->release();
        run_until([this] { return peer->is_done(); });
        EXPECT_THAT(peer->complaints(), IsEmpty());
    }

    void start(std::vector<Script> scripts, std::chrono::milliseconds idle = 1h)
    {
        peer.emplace(io, std::move(scripts));
        connections.emplace(io.get_executor(), options(idle));
    }

    static Connections::Options options(std::chrono::milliseconds idle)
    {
        return {.tls = nullptr,
                .client_name = smtp::ClientName::make("erp.example.com").value(),
                .timeouts = {},
                .idle = idle};
    }

    Login login(const std::string& name = "anna", std::uint8_t fingerprint = 1) const
    {
        return {{"127.0.0.1", Port::make(peer->port()).value(), Security::none},
                smtp::Credentials{name, Secret("pa55")},
                {fingerprint}};
    }

    Asked& ask(const Login& wanted, Prefer prefer = Prefer::any)
    {
        asked.push_back(std::make_shared<Asked>());
        asio::co_spawn(io, acquire(*connections, wanted, prefer, asked.back()), asio::detached);
        return *asked.back();
    }

    Asked& answer(const Login& wanted, Prefer prefer = Prefer::any)
    {
        Asked& one = ask(wanted, prefer);
        run_until([&] { return one.answer.has_value(); });
        return one;
    }

    void put_back(Asked& one, const Login& of)
    {
        bool done = false;
        asio::co_spawn(io, give_back(*connections, of, std::move(one.session().connection), done), asio::detached);
        run_until([&] { return done; });
    }

    void tidy()
    {
        bool done = false;
        asio::co_spawn(io, close_idle(*connections, done), asio::detached);
        run_until([&] { return done; });
    }

    void run_until(const std::function<bool()>& reached)
    {
        while (!reached()) {
            io.restart();
            if (io.run_one_for(10s) == 0)
                throw std::runtime_error("nothing happens any more");
        }
    }

    asio::io_context io;
    std::optional<ScriptedPeer> peer;
    std::optional<Connections> connections;
    std::vector<std::shared_ptr<Asked>> asked;
};

// ---- Reuse ----

TEST_F(ConnectionsTest, OpensASessionAndUsesItAgain)
{
    start({open_to_the_end});
    Asked& first = answer(login());
    ASSERT_TRUE(first.has_session());
    EXPECT_FALSE(first.session().reused);
    put_back(first, login());
    Asked& second = answer(login());
    ASSERT_TRUE(second.has_session());
    EXPECT_TRUE(second.session().reused);
    EXPECT_EQ(peer->connections(), 1U);
    EXPECT_EQ(count(peer->heard(), "AUTH"), 1U);
}

TEST_F(ConnectionsTest, OpensAFreshSessionForWhoAsksForOne)
{
    start({open_to_the_end, open_to_the_end}, 0ms);
    Asked& first = answer(login());
    put_back(first, login());
    Asked& fresh = ask(login(), Prefer::fresh);
    tidy(); // the peer serves one after the other: closes the first
    run_until([&] { return fresh.answer.has_value(); });
    ASSERT_TRUE(fresh.has_session());
    EXPECT_FALSE(fresh.session().reused);
    EXPECT_EQ(peer->connections(), 2U);
}

TEST_F(ConnectionsTest, AfterAReloadNoSessionOfBeforeIsUsedAgain)
{
    start({open_to_the_end, open_to_the_end, open_to_the_end});
    put_back(answer(login()), login());
    connections->reload(options(1h)); // while nobody uses it
    Asked& second = ask(login());
    tidy();
    run_until([&] { return second.answer.has_value(); });
    ASSERT_TRUE(second.has_session());
    EXPECT_FALSE(second.session().reused);
    connections->reload(options(1h)); // while somebody does
    EXPECT_FALSE(connections->is_current(*second.session().connection));
    put_back(second, login());
    Asked& third = answer(login());
    ASSERT_TRUE(third.has_session());
    EXPECT_FALSE(third.session().reused);
    EXPECT_EQ(peer->connections(), 3U);
    put_back(third, login());
    EXPECT_TRUE(answer(login()).session().reused) << "of the present settings";
}

TEST_F(ConnectionsTest, ClosesIdleSessionsAtTheSameTime)
{
    const Script silent_at_the_end = opened + Script{Expect{"QUIT"}, Stall{}};
    start({silent_at_the_end});
    smtp::Timeouts timeouts;
    timeouts.quit = 1h; // who waited for one after the other would wait for ever here
    connections.emplace(io.get_executor(),
                        Connections::Options{.tls = nullptr,
                                             .client_name = smtp::ClientName::make("erp.example.com").value(),
                                             .timeouts = timeouts,
                                             .idle = 0ms});
    ScriptedPeer another(io, {silent_at_the_end});
    Login there = login();
    there.server.port = Port::make(another.port()).value();
    for (const Login& one : {login(), there})
        put_back(answer(one), one);
    bool done = false;
    asio::co_spawn(io, close_idle(*connections, done), asio::detached);
    run_until([&] { return count(peer->heard(), "QUIT") == 1 && count(another.heard(), "QUIT") == 1; });
    EXPECT_FALSE(done);
    peer->release();
    another.release();
    run_until([&] { return done && peer->is_done() && another.is_done(); });
    EXPECT_THAT(another.complaints(), IsEmpty());
}

TEST_F(ConnectionsTest, AServerThatCannotPipelineGetsLessByEveryLoginAndNoOtherServerDoes)
{
    start({open_to_the_end});
    connections->pipeline_less(login(), smtp::Pipelining::next_message);
    EXPECT_EQ(connections->pipelining_for(login()), smtp::Pipelining::message);
    connections->pipeline_less(login(), smtp::Pipelining::message);
    connections->keep_to_one_message(login(), std::chrono::hours(24)); // no more than before
    EXPECT_EQ(connections->pipelining_for(login()), smtp::Pipelining::never);
    EXPECT_EQ(connections->pipelining_for(login("ben")), smtp::Pipelining::never);
    Login elsewhere = login();
    elsewhere.server.host = "elsewhere.example";
    EXPECT_EQ(connections->pipelining_for(elsewhere), smtp::Pipelining::automatic);
    EXPECT_TRUE(answer(login()).has_session());
}

TEST_F(ConnectionsTest, DoesNotGiveOutASessionThatTheServerHasClosed)
{
    bool gone = false;
    start({opened + Script{Then{[&] { gone = true; }}}, open_to_the_end});
    Asked& first = answer(login());
    put_back(first, login());
    run_until([&] { return gone; });
    io.poll(); // its close
    Asked& second = answer(login());
    ASSERT_TRUE(second.has_session());
    EXPECT_FALSE(second.session().reused);
    EXPECT_EQ(peer->connections(), 2U);
}

TEST_F(ConnectionsTest, DoesNotGiveOutASessionInWhichTheServerSpokeUnasked)
{
    bool said = false;
    start({opened + Script{Say{"421 idle for too long\r\n"}, Then{[&] { said = true; }}, AwaitEnd{}}, open_to_the_end});
    Asked& first = answer(login());
    put_back(first, login());
    run_until([&] { return said; });
    Asked& second = answer(login());
    ASSERT_TRUE(second.has_session());
    EXPECT_FALSE(second.session().reused);
}

TEST_F(ConnectionsTest, KeepsNoSessionThatIsOutOfOrder)
{
    start({open_to_the_end, open_to_the_end});
    Asked& first = answer(login());
    first.session().connection->abort();
    put_back(first, login());
    Asked& second = answer(login());
    ASSERT_TRUE(second.has_session());
    EXPECT_FALSE(second.session().reused);
}

TEST_F(ConnectionsTest, SharesNoSessionBetweenLogins)
{
    start({open_to_the_end, open_to_the_end, open_to_the_end});
    Asked& anna = answer(login("anna"));
    anna.session().connection->abort(); // the peer serves one after the other
    Asked& bert = answer(login("bert", 2));
    ASSERT_TRUE(bert.has_session());
    EXPECT_FALSE(bert.session().reused);
    put_back(bert, login("bert", 2));
    Asked& new_password = ask(login("bert", 3));
    io.poll();
    EXPECT_FALSE(new_password.has_session()); // not bert's old session, which lies idle
    Asked& again = answer(login("bert", 2));
    EXPECT_TRUE(again.session().reused);
    again.session().connection->abort();
    run_until([&] { return new_password.answer.has_value(); });
    EXPECT_TRUE(new_password.has_session());
    EXPECT_EQ(peer->connections(), 3U);
}

TEST_F(ConnectionsTest, SaysQuitToASessionThatLiesIdleForTooLong)
{
    start({opened + Script{Expect{"QUIT"}, Say{"221 bye\r\n"}}, open_to_the_end}, 0ms);
    Asked& first = answer(login());
    put_back(first, login());
    tidy();
    EXPECT_EQ(count(peer->heard(), "QUIT"), 1U);
    EXPECT_FALSE(answer(login()).session().reused);
}

TEST_F(ConnectionsTest, LeavesASessionThatIsNotIdleForLong)
{
    start({open_to_the_end}, 1h);
    Asked& first = answer(login());
    put_back(first, login());
    tidy();
    EXPECT_EQ(count(peer->heard(), "QUIT"), 0U);
    EXPECT_TRUE(answer(login()).session().reused);
}

// ---- Logins ----

TEST_F(ConnectionsTest, TriesALoginAloneUntilItSucceeded)
{
    std::function<void()> meanwhile;
    start({greeted + Script{Then{[&] { meanwhile(); }}, Say{"535 5.7.8 wrong\r\n"}}, refused, refused});
    std::vector<Asked*> others;
    meanwhile = [&] {
        for (int i = 0; i < 5; ++i)
            others.push_back(&ask(login()));
    };
    Asked& first = answer(login());
    EXPECT_EQ(first.cause(), Cause::login_refused);
    for (Asked* other : others) {
        run_until([&] { return other->answer.has_value(); });
        EXPECT_EQ(other->cause(), Cause::login_refused); // told by the first
    }
    EXPECT_EQ(peer->connections(), 1U);
    EXPECT_EQ(count(peer->heard(), "AUTH"), 1U);
}

TEST_F(ConnectionsTest, OpensForThoseWhoWaitedOnceTheLoginSucceeded)
{
    start({greeted + Script{Stall{}, Say{"235 ok\r\n"}, AwaitEnd{}}, open_to_the_end});
    Asked& first = ask(login());
    run_until([&] { return count(peer->heard(), "AUTH") == 1; });
    Asked& second = ask(login());
    io.poll();
    peer->release();
    run_until([&] { return first.answer.has_value(); });
    ASSERT_TRUE(first.has_session());
    first.session().connection->abort(); // the peer serves one after the other
    run_until([&] { return second.answer.has_value(); });
    EXPECT_TRUE(second.has_session());
    EXPECT_EQ(peer->connections(), 2U);
}

TEST_F(ConnectionsTest, RepeatsNoRefusedLogin)
{
    start({refused, open_to_the_end});
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    for (const Prefer prefer : {Prefer::any, Prefer::fresh}) {
        const Asked& again = answer(login(), prefer);
        EXPECT_EQ(again.cause(), Cause::login_refused);
        EXPECT_EQ(std::get<Outcome>(*again.answer).code, 535);
    }
    EXPECT_EQ(peer->connections(), 1U);
}

TEST_F(ConnectionsTest, TriesANewPasswordAtOnce)
{
    start({refused, open_to_the_end});
    EXPECT_EQ(answer(login("anna", 1)).cause(), Cause::login_refused);
    EXPECT_TRUE(answer(login("anna", 2)).has_session());
}

TEST_F(ConnectionsTest, TriesARefusedLoginAgainWhenItIsPausedNoMore)
{
    start({refused, open_to_the_end});
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    connections->paused({}); // settings from before anybody knew
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    connections->paused({{9}, {1}});
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    EXPECT_EQ(peer->connections(), 1U);
    connections->paused({{9}});
    EXPECT_TRUE(answer(login()).has_session());
}

TEST_F(ConnectionsTest, NeedsNoReadingOfTheSettingsToKnowThatItsRefusalIsKnown)
{
    start({refused, open_to_the_end});
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    connections->refusal_is_known(login());
    connections->paused({});
    EXPECT_TRUE(answer(login()).has_session());
}

TEST_F(ConnectionsTest, TriesALoginAloneAgainAfterItWasRefused)
{
    std::function<void()> meanwhile;
    start(
        {open_to_the_end, refused, greeted + Script{Then{[&] { meanwhile(); }}, Say{"535 5.7.8 wrong\r\n"}}, refused});
    answer(login()).session().connection->abort(); // it had worked before
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    connections->refusal_is_known(login());
    connections->paused({});
    Asked* other = nullptr;
    meanwhile = [&] { other = &ask(login()); };
    EXPECT_EQ(answer(login()).cause(), Cause::login_refused);
    run_until([&] { return other->answer.has_value(); });
    EXPECT_EQ(peer->connections(), 3U);
}

TEST_F(ConnectionsTest, AsksARelayWithoutLoginForNone)
{
    start({{Say{"220 hello\r\n"}, Expect{"EHLO"}, Say{"250 hello\r\n"}, AwaitEnd{}}});
    Login relay = login();
    relay.credentials.reset();
    relay.fingerprint.clear();
    EXPECT_TRUE(answer(relay).has_session());
    EXPECT_EQ(count(peer->heard(), "AUTH"), 0U);
}

// ---- A server in trouble ----

TEST_F(ConnectionsTest, TellsThoseWhoWaitForATroubledServerAtOnce)
{
    std::function<void()> meanwhile;
    start({greeted + Script{Then{[&] { meanwhile(); }}, Say{"421 4.3.2 closing\r\n"}}, open_to_the_end});
    Asked* other = nullptr;
    meanwhile = [&] { other = &ask(login()); };
    EXPECT_FALSE(answer(login()).has_session());
    run_until([&] { return other->answer.has_value(); });
    EXPECT_FALSE(other->has_session());
    EXPECT_EQ(peer->connections(), 1U);
}

TEST_F(ConnectionsTest, StopsNoOtherLoginForTheTroubleOfOne)
{
    start({busy, open_to_the_end});
    EXPECT_FALSE(answer(login("anna", 1)).has_session());
    EXPECT_TRUE(answer(login("bert", 2)).has_session());
}

TEST_F(ConnectionsTest, AnOpeningThatIsGivenUpEndsForAllWhoWaitForItAndForNobodyElse)
{
    start({greeted + Script{Stall{}}, open_to_the_end});
    Asked& stuck = ask(login());
    run_until([&] { return count(peer->heard(), "AUTH") == 1; });
    Asked& behind = ask(login());
    Asked& other = ask(login("bert", 2)); // is not greeted yet
    io.poll();
    connections->give_up(behind.progress); // has no opening
    io.poll();
    EXPECT_FALSE(stuck.answer || behind.answer);
    connections->give_up(stuck.progress);
    run_until([&] { return stuck.answer && behind.answer; });
    EXPECT_EQ(stuck.cause(), Cause::timed_out);
    EXPECT_EQ(behind.cause(), Cause::timed_out);
    EXPECT_FALSE(other.answer);
    peer->release();
    run_until([&] { return other.answer.has_value(); });
    EXPECT_TRUE(other.has_session());
}

// ---- Stopping ----

TEST_F(ConnectionsTest, GivesOutNothingOnceItIsStopped)
{
    start({open_to_the_end});
    Asked& first = answer(login());
    put_back(first, login());
    connections->stop();
    EXPECT_EQ(answer(login()).cause(), Cause::stopped);
}

TEST_F(ConnectionsTest, LetsThoseGoWhoWaitForAnotherOnesLogin)
{
    start({greeted + Script{Stall{}, Say{"235 ok\r\n"}, AwaitEnd{}}});
    Asked& first = ask(login());
    run_until([&] { return count(peer->heard(), "AUTH") == 1; });
    Asked& second = ask(login());
    io.poll();
    connections->stop();
    run_until([&] { return second.answer.has_value(); });
    EXPECT_EQ(second.cause(), Cause::stopped);
    EXPECT_FALSE(first.answer); // its login is under way
    peer->release();
    run_until([&] { return first.answer.has_value(); });
}

TEST_F(ConnectionsTest, ClosesAllIdleSessionsOnceItIsStopped)
{
    start({opened + Script{Expect{"QUIT"}, Say{"221 bye\r\n"}}}, 1h);
    Asked& first = answer(login());
    put_back(first, login());
    connections->stop();
    tidy();
    EXPECT_EQ(count(peer->heard(), "QUIT"), 1U);
}

TEST_F(ConnectionsTest, KeepsNoSessionThatIsGivenBackAfterTheStop)
{
    start({opened + Script{Expect{"QUIT"}, Say{"221 bye\r\n"}}}, 1h);
    Asked& first = answer(login());
    connections->stop();
    put_back(first, login());
    EXPECT_EQ(count(peer->heard(), "QUIT"), 1U);
}

} // namespace
} // namespace mailroom
