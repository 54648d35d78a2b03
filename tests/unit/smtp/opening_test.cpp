#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/opening.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view greeting = "220 mail.example.com ESMTP";
constexpr std::string_view plain_and_login = "250-mail.example.com\n250 AUTH PLAIN LOGIN";
constexpr std::string_view offers_starttls = "250-mail.example.com\n250-AUTH PLAIN\n250 STARTTLS";
constexpr std::string_view tim_plain = "AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n";

class OpeningTest : public testing::Test {
protected:
    Opening make(Security security, Cleartext cleartext = Cleartext::forbidden) const
    {
        return {security, client, &tim, cleartext};
    }
    Opening make_without_login(Security security) const { return {security, client, nullptr, Cleartext::forbidden}; }

    ClientName client = ClientName::make("erp.example.com").value();
    Credentials tim{"tim", Secret("secret")};
};

std::string sent(const Opening::Action& action)
{
    const auto* send = std::get_if<Opening::Send>(&action);
    return send != nullptr ? send->octets : "(nothing)";
}

Outcome failure(const Opening::Action& action)
{
    const auto* failed = std::get_if<Opening::Failed>(&action);
    return failed != nullptr ? failed->outcome : Outcome{};
}

bool is_open(const Opening::Action& action)
{
    return std::holds_alternative<Opening::Opened>(action);
}

bool wants_handshake(const Opening::Action& action)
{
    return std::holds_alternative<Opening::Handshake>(action);
}

// Answers one after the other; the action that follows the last.
Opening::Action play(Opening& opening, const std::vector<std::string_view>& replies)
{
    Opening::Action action = opening.begin();
    for (const std::string_view text : replies) {
        if (wants_handshake(action))
            action = opening.on_tls();
        action = opening.on_reply(reply(text), 0);
    }
    return action;
}

void expect_failure(const Opening::Action& action, Scope scope, Cause cause, Stage stage)
{
    const Outcome outcome = failure(action);
    EXPECT_EQ(outcome.verdict, Verdict::try_again);
    EXPECT_EQ(outcome.scope, scope);
    EXPECT_EQ(outcome.cause, cause);
    EXPECT_EQ(outcome.stage, stage);
}

TEST_F(OpeningTest, LogsInOverStarttls)
{
    Opening opening = make(Security::starttls);
    EXPECT_TRUE(std::holds_alternative<Opening::AwaitReply>(opening.begin()));
    EXPECT_EQ(sent(opening.on_reply(reply(greeting), 0)), "EHLO erp.example.com\r\n");
    EXPECT_EQ(sent(opening.on_reply(reply(offers_starttls), 0)), "STARTTLS\r\n");
    EXPECT_TRUE(wants_handshake(opening.on_reply(reply("220 Go ahead"), 0)));
    EXPECT_EQ(sent(opening.on_tls()), "EHLO erp.example.com\r\n");
    EXPECT_EQ(sent(opening.on_reply(reply(plain_and_login), 0)), tim_plain);
    EXPECT_TRUE(is_open(opening.on_reply(reply("235 2.7.0 Ok"), 0)));
}

TEST_F(OpeningTest, StartsWithTlsWhereItIsImplicit)
{
    Opening opening = make(Security::implicit_tls);
    EXPECT_TRUE(wants_handshake(opening.begin()));
    EXPECT_TRUE(std::holds_alternative<Opening::AwaitReply>(opening.on_tls()));
    EXPECT_EQ(sent(opening.on_reply(reply(greeting), 0)), "EHLO erp.example.com\r\n");
    EXPECT_EQ(sent(opening.on_reply(reply(plain_and_login), 0)), tim_plain);
}

TEST_F(OpeningTest, TellsWhatTheServerCanDo)
{
    Opening opening = make_without_login(Security::none);
    const auto action = play(opening, {greeting, "250-x\n250-PIPELINING\n250 SIZE 5"});
    ASSERT_TRUE(is_open(action));
    EXPECT_TRUE(std::get<Opening::Opened>(action).capabilities.pipelining);
    EXPECT_EQ(std::get<Opening::Opened>(action).capabilities.max_size, 5U);
}

TEST_F(OpeningTest, ForgetsWhatWasSaidInClear)
{
    Opening opening = make(Security::starttls);
    const auto action = play(opening, {greeting, offers_starttls, "220 Go ahead", "250 mail.example.com"});
    expect_failure(action, Scope::account, Cause::login_unavailable, Stage::auth);
}

TEST_F(OpeningTest, KnowsTheMakerByTheGreetingAlsoAfterStarttls)
{
    const auto is_known = [&](std::string_view named) {
        Opening opening = make(Security::starttls);
        const auto action = play(
            opening, {named, offers_starttls, "220 Go ahead", plain_and_login, "235 2.7.0 Authentication succeeded"});
        return std::get<Opening::Opened>(action).capabilities.by_known_maker;
    };
    EXPECT_TRUE(is_known("220 mail.example.com ESMTP Postfix (Debian/GNU)"));
    EXPECT_TRUE(is_known("220 mail.example.com ESMTP Exim 4.96 Mon, 23 Nov 2026 10:00:00 +0100"));
    EXPECT_FALSE(is_known("220 mail.example.com Dovecot ready."));
    EXPECT_FALSE(is_known("220 postfix.example.com ESMTP"));
}

TEST_F(OpeningTest, NeverGoesOnInClearWhereStarttlsIsRequired)
{
    Opening opening = make(Security::starttls, Cleartext::allowed);
    const auto action = play(opening, {greeting, plain_and_login});
    expect_failure(action, Scope::server, Cause::tls_failed, Stage::starttls);
    EXPECT_THAT(failure(action).text, HasSubstr("STARTTLS"));
}

TEST_F(OpeningTest, NeverGoesOnInClearWhenStarttlsIsRefused)
{
    Opening opening = make(Security::starttls, Cleartext::allowed);
    expect_failure(play(opening, {greeting, offers_starttls, "454 4.7.0 not now"}), Scope::server, Cause::tls_failed,
                   Stage::starttls);
}

TEST_F(OpeningTest, TakesOctetsBehindStarttlsForAnAttack)
{
    Opening opening = make(Security::starttls);
    play(opening, {greeting, offers_starttls});
    const auto action = opening.on_reply(reply("220 Go ahead"), 1);
    expect_failure(action, Scope::server, Cause::protocol_error, Stage::starttls);
}

TEST_F(OpeningTest, SendsNoPasswordInClear)
{
    Opening opening = make(Security::none);
    const auto action = play(opening, {greeting, plain_and_login});
    expect_failure(action, Scope::account, Cause::login_unavailable, Stage::auth);
    EXPECT_THAT(failure(action).text, HasSubstr("not encrypted"));
}

TEST_F(OpeningTest, SendsAPasswordInClearWhereThatIsAllowed)
{
    Opening opening = make(Security::none, Cleartext::allowed);
    EXPECT_EQ(sent(play(opening, {greeting, plain_and_login})), tim_plain);
}

TEST_F(OpeningTest, UsesLoginWherePlainIsNotOffered)
{
    Opening opening = make(Security::implicit_tls);
    EXPECT_EQ(sent(play(opening, {greeting, "250-x\n250 AUTH XOAUTH2 LOGIN"})), "AUTH LOGIN\r\n");
    EXPECT_EQ(sent(opening.on_reply(reply("334 VXNlcm5hbWU6"), 0)), "dGlt\r\n");
    EXPECT_EQ(sent(opening.on_reply(reply("334 UGFzc3dvcmQ6"), 0)), "c2VjcmV0\r\n");
    EXPECT_TRUE(is_open(opening.on_reply(reply("235 Ok"), 0)));
}

TEST_F(OpeningTest, SendsALongPasswordWhenAsked)
{
    tim.password = Secret(std::string(600, 'x'));
    Opening opening = make(Security::implicit_tls);
    EXPECT_EQ(sent(play(opening, {greeting, plain_and_login})), "AUTH PLAIN\r\n");
    EXPECT_EQ(sent(opening.on_reply(reply("334"), 0)), command::auth_plain_response(tim));
    expect_failure(opening.on_reply(reply("334 more?"), 0), Scope::server, Cause::protocol_error, Stage::auth);
}

TEST_F(OpeningTest, TriesLoginOnlyWhenTheMechanismIsRefusedAndNotThePassword)
{
    Opening refused = make(Security::implicit_tls);
    expect_failure(play(refused, {greeting, plain_and_login, "535 5.7.8 no"}), Scope::account, Cause::login_refused,
                   Stage::auth);
    Opening unknown = make(Security::implicit_tls);
    EXPECT_EQ(sent(play(unknown, {greeting, plain_and_login, "504 5.5.4 what?"})), "AUTH LOGIN\r\n");
    Opening application_password = make(Security::implicit_tls);
    expect_failure(play(application_password, {greeting, plain_and_login, "534 5.7.9 Application-specific password"}),
                   Scope::account, Cause::login_refused, Stage::auth);
}

TEST_F(OpeningTest, SaysWhichLoginsTheServerOffersWhenNoneIsOurs)
{
    Opening opening = make(Security::implicit_tls);
    const auto action = play(opening, {greeting, "250-x\n250 AUTH NTLM XOAUTH2"});
    expect_failure(action, Scope::account, Cause::login_unavailable, Stage::auth);
    EXPECT_THAT(failure(action).text, HasSubstr("NTLM XOAUTH2"));
}

TEST_F(OpeningTest, RefusesALoginThatPlainCannotCarry)
{
    tim.password = Secret(std::string("a\0b", 3));
    Opening opening = make(Security::implicit_tls);
    expect_failure(play(opening, {greeting, plain_and_login}), Scope::account, Cause::login_refused, Stage::auth);
}

TEST_F(OpeningTest, NeverShowsThePassword)
{
    Opening opening = make(Security::implicit_tls);
    const auto action = play(opening, {greeting, plain_and_login, "535 5.7.8 no"});
    EXPECT_THAT(failure(action).text, Not(HasSubstr("secret")));
}

TEST_F(OpeningTest, FallsBackToHeloWhereNothingElseIsNeeded)
{
    Opening opening = make_without_login(Security::none);
    EXPECT_EQ(sent(play(opening, {greeting, "502 what?"})), "HELO erp.example.com\r\n");
    EXPECT_TRUE(is_open(opening.on_reply(reply("250 mail"), 0)));
}

TEST_F(OpeningTest, DoesNotFallBackToHeloWhereALoginOrTlsIsNeeded)
{
    Opening login = make(Security::none, Cleartext::allowed);
    expect_failure(play(login, {greeting, "502 what?"}), Scope::server, Cause::reply, Stage::ehlo);
    Opening tls = make_without_login(Security::starttls);
    expect_failure(play(tls, {greeting, "502 what?"}), Scope::server, Cause::reply, Stage::ehlo);
}

TEST_F(OpeningTest, TakesAServerThatIsNotReadyForServerTrouble)
{
    for (const std::string_view text : {"554 no", "421 not now", "450 later", "354 what?", "221 bye"}) {
        Opening opening = make(Security::starttls);
        opening.begin();
        const Outcome outcome = failure(opening.on_reply(reply(text), 0));
        EXPECT_EQ(outcome.scope, Scope::server) << text;
        EXPECT_EQ(outcome.verdict, Verdict::try_again) << text;
        EXPECT_EQ(outcome.stage, Stage::greeting) << text;
    }
}

// Every dialogue, cut before each reply, and answered with nonsense instead of it.
TEST_F(OpeningTest, FailsForTheServerWhereverTheLinkIsLost)
{
    const std::vector<std::string_view> replies = {greeting, offers_starttls, "220 Go ahead", "250-x\n250 AUTH LOGIN",
                                                   "334 x",  "334 y"};
    const std::vector<Stage> stages = {Stage::greeting, Stage::ehlo, Stage::starttls, Stage::tls,
                                       Stage::auth,     Stage::auth, Stage::auth};
    for (std::size_t cut = 0; cut <= replies.size(); ++cut) {
        Opening opening = make(Security::starttls);
        play(opening, {replies.begin(), replies.begin() + static_cast<std::ptrdiff_t>(cut)});
        expect_failure(opening.on_lost({Cause::connection_lost, "gone"}), Scope::server, Cause::connection_lost,
                       stages[cut]);
    }
}

TEST_F(OpeningTest, Passes421OnFromEveryStep)
{
    const std::vector<std::string_view> replies = {greeting, offers_starttls, "220 Go ahead", "250-x\n250 AUTH LOGIN",
                                                   "334 x",  "334 y"};
    for (std::size_t cut = 0; cut <= replies.size(); ++cut) {
        if (cut == 3) // the handshake is due
            continue;
        Opening opening = make(Security::starttls);
        play(opening, {replies.begin(), replies.begin() + static_cast<std::ptrdiff_t>(cut)});
        const Outcome outcome = failure(opening.on_reply(reply("421 4.3.0 closing"), 0));
        EXPECT_EQ(outcome.code, 421);
        EXPECT_EQ(outcome.scope, Scope::server);
        EXPECT_EQ(outcome.verdict, Verdict::try_again);
    }
}

} // namespace
} // namespace mailroom::smtp
