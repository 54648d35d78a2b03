#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/trouble.hpp"

#include <gtest/gtest.h>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;

struct Case {
    Stage stage;
    std::string_view reply;
    Verdict verdict;
    Scope scope;
    Cause cause;
};

// gtest would print the octets otherwise
void PrintTo(const Case& c, std::ostream* out)
{
    *out << c.stage << ": " << c.reply;
}

class Classification : public testing::TestWithParam<Case> {};

TEST_P(Classification, FindsVerdictScopeAndCause)
{
    const Case& c = GetParam();
    const Outcome outcome = classify(c.stage, reply(c.reply));
    EXPECT_EQ(outcome.verdict, c.verdict);
    EXPECT_EQ(outcome.scope, c.scope);
    EXPECT_EQ(outcome.cause, c.cause);
    EXPECT_EQ(outcome.stage, c.stage);
}

constexpr auto again = Verdict::try_again;
constexpr auto never = Verdict::give_up;

INSTANTIATE_TEST_SUITE_P(
    Login, Classification,
    testing::Values(
        Case{Stage::auth, "535 5.7.8 Error: authentication failed", again, Scope::account, Cause::login_refused},
        Case{Stage::auth, "535 5.7.3 Authentication unsuccessful [AM0PR.PROD.OUTLOOK.COM]", again, Scope::account,
             Cause::login_refused},
        Case{Stage::auth, "534-5.7.9 Application-specific password required. Learn more at\n534 5.7.9 https://x", again,
             Scope::account, Cause::login_refused},
        Case{Stage::auth, "534 5.7.9 Authentication mechanism is too weak", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::auth, "538 5.7.11 Encryption required", again, Scope::account, Cause::login_unavailable},
        Case{Stage::auth, "504 5.5.4 Unrecognized authentication type", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::auth, "502 5.5.1 Command not implemented", again, Scope::account, Cause::login_unavailable},
        Case{Stage::auth, "503 5.5.1 Error: authentication not available", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::auth, "503 5.5.1 bad sequence", again, Scope::server, Cause::protocol_error},
        Case{Stage::auth, "454 4.7.0 Temporary authentication failure", again, Scope::account, Cause::reply},
        Case{Stage::auth, "432 4.7.12 A password transition is needed", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::auth, "535 5.7.0 Too many authentication attempts", again, Scope::account, Cause::throttled},
        Case{Stage::auth, "550 5.7.30 Basic authentication is not supported for Client Submission", again,
             Scope::account, Cause::basic_login_ended},
        Case{Stage::final_dot, "550 5.7.30 Basic authentication is not supported for Client Submission", again,
             Scope::account, Cause::basic_login_ended},
        Case{Stage::auth, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", again,
             Scope::account, Cause::basic_login_ended},
        Case{Stage::auth,
             "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", again,
             Scope::account, Cause::basic_login_ended},
        Case{Stage::auth, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", again,
             Scope::account, Cause::login_refused},
        Case{Stage::mail_from, "530 5.7.57 Client not authenticated to send mail", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::mail_from, "530 5.7.0 Must issue a STARTTLS command first", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::rcpt_to, "553 5.7.1 <a@example.com>: Sender address rejected: not logged in", again, Scope::account,
             Cause::login_unavailable},
        Case{Stage::auth, "334 VXNlcm5hbWU6", again, Scope::server, Cause::protocol_error}));

INSTANTIATE_TEST_SUITE_P(
    Server, Classification,
    testing::Values(
        Case{Stage::greeting, "554 No SMTP service here", again, Scope::server, Cause::reply},
        Case{Stage::greeting, "421 4.7.0 Too many connections from your host", again, Scope::server, Cause::throttled},
        Case{Stage::greeting, "450 too many connections", again, Scope::server, Cause::throttled},
        Case{Stage::greeting, "221 Bye", again, Scope::server, Cause::protocol_error},
        Case{Stage::ehlo, "550 Access denied - invalid HELO name", again, Scope::server, Cause::reply},
        Case{Stage::starttls, "454 4.7.0 TLS not available due to temporary reason", again, Scope::server,
             Cause::tls_failed},
        Case{Stage::starttls, "502 5.5.1 Not implemented", again, Scope::server, Cause::tls_failed},
        Case{Stage::auth, "421 4.7.0 Error: too many errors", again, Scope::server, Cause::throttled},
        Case{Stage::mail_from, "421 4.4.2 Error: timeout exceeded", again, Scope::server, Cause::reply},
        Case{Stage::final_dot, "421 Maximum message count per session reached", again, Scope::server, Cause::reply},
        Case{Stage::mail_from, "451 4.7.500 Server busy. Please try again later", again, Scope::server,
             Cause::throttled},
        Case{Stage::mail_from, "452 4.3.1 Insufficient system storage", again, Scope::server, Cause::reply},
        Case{Stage::mail_from, "503 5.5.1 Error: nested MAIL command", again, Scope::server, Cause::protocol_error},
        Case{Stage::rcpt_to, "503 5.5.1 Error: need MAIL command", again, Scope::server, Cause::protocol_error},
        Case{Stage::data, "250 Ok", again, Scope::server, Cause::protocol_error},
        Case{Stage::rset, "500 what?", again, Scope::server, Cause::reply}));

INSTANTIATE_TEST_SUITE_P(
    Account, Classification,
    testing::Values(
        Case{Stage::final_dot, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", again, Scope::account,
             Cause::throttled},
        Case{Stage::mail_from, "432 4.3.2 Concurrent connections limit exceeded", again, Scope::account,
             Cause::throttled},
        Case{Stage::final_dot, "454 Throttling failure: Maximum sending rate exceeded.", again, Scope::account,
             Cause::throttled},
        Case{Stage::rcpt_to, "450 4.7.1 Error: too many messages from this client", again, Scope::account,
             Cause::throttled},
        Case{Stage::final_dot,
             "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
             again, Scope::account, Cause::quota},
        Case{Stage::mail_from, "550-5.4.5 Daily user sending limit exceeded. For more information\n550 5.4.5 on Gmail",
             again, Scope::account, Cause::quota},
        Case{Stage::final_dot, "554 5.7.0 Your message could not be sent. The limit exceeded, try again later.", again,
             Scope::account, Cause::quota},
        Case{Stage::final_dot, "554 5.2.2 mailbox full", again, Scope::account, Cause::quota},
        Case{Stage::rcpt_to, "554 5.2.2 mailbox full", never, Scope::recipient, Cause::reply}));

INSTANTIATE_TEST_SUITE_P(
    SenderIdentity, Classification,
    testing::Values(Case{Stage::final_dot,
                         "554 5.2.252 SendAsDenied; a@example.com not allowed to send as b@example.com; "
                         "STOREDRV.Submission.Exception",
                         again, Scope::sender_identity, Cause::sender_refused},
                    Case{Stage::final_dot, "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
                         again, Scope::sender_identity, Cause::sender_refused},
                    Case{Stage::mail_from, "550 5.7.1 Client does not have permissions to send as this sender", again,
                         Scope::sender_identity, Cause::sender_refused},
                    Case{Stage::mail_from, "553 5.7.1 Sender address rejected: not owned by auth user.", again,
                         Scope::sender_identity, Cause::sender_refused},
                    Case{Stage::rcpt_to, "553 5.7.1 <x@example.com>: Sender address rejected: not owned by user z",
                         again, Scope::sender_identity, Cause::sender_refused},
                    Case{Stage::rcpt_to, "450 4.1.8 <x@example.com>: Sender address rejected: Domain not found", again,
                         Scope::message, Cause::reply},
                    Case{Stage::mail_from, "553 sorry, you may not use this sender", again, Scope::sender_identity,
                         Cause::sender_refused},
                    Case{Stage::rcpt_to, "550 5.7.1 Relaying denied", never, Scope::recipient, Cause::reply}));

INSTANTIATE_TEST_SUITE_P(
    Message, Classification,
    testing::Values(
        Case{Stage::mail_from, "552 5.3.4 Message size exceeds fixed limit", never, Scope::message, Cause::too_large},
        Case{Stage::final_dot, "552 5.3.4 Error: message file too big", never, Scope::message, Cause::too_large},
        Case{Stage::final_dot, "552 5.2.3 Message exceeds administrative limit", never, Scope::message,
             Cause::too_large},
        Case{Stage::mail_from, "552 message size exceeds maximum", never, Scope::message, Cause::too_large},
        Case{Stage::content, "552 message too large", never, Scope::message, Cause::too_large},
        Case{Stage::final_dot, "552 5.7.0 This message was blocked because its content presents a potential issue",
             never, Scope::message, Cause::reply},
        Case{Stage::final_dot, "554 5.7.1 Spam message rejected", never, Scope::message, Cause::reply},
        Case{Stage::final_dot, "451 4.3.0 Error: queue file write error", again, Scope::message, Cause::reply},
        Case{Stage::mail_from, "599 whatever", never, Scope::message, Cause::reply},
        Case{Stage::data, "499 whatever", again, Scope::message, Cause::reply}));

INSTANTIATE_TEST_SUITE_P(
    Recipient, Classification,
    testing::Values(
        Case{Stage::rcpt_to, "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown", never,
             Scope::recipient, Cause::reply},
        Case{Stage::rcpt_to, "450 4.2.0 <x@example.com>: Recipient address rejected: Greylisted", again,
             Scope::recipient, Cause::reply},
        Case{Stage::rcpt_to, "452 4.5.3 Error: too many recipients", again, Scope::recipient,
             Cause::too_many_recipients},
        Case{Stage::rcpt_to, "550 5.5.3 Too many recipients", again, Scope::recipient, Cause::too_many_recipients},
        Case{Stage::rcpt_to, "552 too many recipients", again, Scope::recipient, Cause::too_many_recipients},
        Case{Stage::rcpt_to, "452 4.2.2 The recipient's mailbox is full", again, Scope::recipient, Cause::reply},
        Case{Stage::rcpt_to, "552 5.2.2 Over quota", never, Scope::recipient, Cause::reply}));

TEST(Classification, HasAnAnswerForEveryReplyAtEveryStage)
{
    for (int stage = 0; stage <= static_cast<int>(Stage::idle); ++stage) {
        for (int code = 200; code < 600; ++code) {
            const Outcome outcome = classify(static_cast<Stage>(stage), reply(std::to_string(code) + " x"));
            EXPECT_NE(outcome.verdict, Verdict::accepted);
            EXPECT_NE(outcome.verdict, Verdict::in_doubt);
            EXPECT_NE(outcome.cause, Cause::none);
            EXPECT_FALSE(outcome.verdict == Verdict::give_up && code < 500) << code;
        }
    }
}

TEST(Classification, KeepsWhatTheServerSaid)
{
    const Outcome outcome = classify(Stage::rcpt_to, reply("550-5.1.1 No such\n550 5.1.1 user here"));
    EXPECT_EQ(outcome.code, 550);
    EXPECT_EQ(outcome.enhanced, "5.1.1");
    EXPECT_EQ(outcome.text, "No such user here");
    EXPECT_FALSE(outcome.retry_after);
}

TEST(Classification, FindsTheServersWishToWait)
{
    EXPECT_EQ(classify(Stage::rcpt_to, reply("450 4.7.1 Greylisted, try again in 300 seconds")).retry_after, 300s);
    EXPECT_FALSE(classify(Stage::rcpt_to, reply("550 5.7.1 not for 300 seconds")).retry_after) << "a refusal for good";
}

TEST(Wish, IsANumberBeforeAUnitOfTime)
{
    EXPECT_EQ(wish_in("in 5 minutes"), 300s);
    EXPECT_EQ(wish_in("in 1 hour"), 3600s);
    EXPECT_EQ(wish_in("(90sec)"), 90s);
    EXPECT_EQ(wish_in("4.7.1 host 192.0.2.1 must wait 2 Min."), 120s);
    EXPECT_EQ(wish_in("wait 99999 hours"), 24h) << "at most a day";
    EXPECT_EQ(wish_in("wait 99999999999999999999 hours"), std::nullopt);
    EXPECT_EQ(wish_in("try again later"), std::nullopt);
    EXPECT_EQ(wish_in("5 messages a minute"), std::nullopt);
    EXPECT_EQ(wish_in("300"), std::nullopt);
}

TEST(Loss, IsTriedAgainAndConcernsTheServer)
{
    const Outcome outcome = outcome_of({Cause::timed_out, "too long"}, Stage::greeting);
    EXPECT_EQ(outcome.verdict, Verdict::try_again);
    EXPECT_EQ(outcome.scope, Scope::server);
    EXPECT_EQ(outcome.cause, Cause::timed_out);
    EXPECT_EQ(outcome.stage, Stage::greeting);
    EXPECT_EQ(outcome.text, "too long");
}

TEST(Loss, OfOurOwnDoingConcernsUs)
{
    EXPECT_EQ(outcome_of({Cause::stopped, ""}, Stage::data).scope, Scope::dispatcher);
    EXPECT_EQ(outcome_of({Cause::content_unavailable, ""}, Stage::content).scope, Scope::message);
}

} // namespace
} // namespace mailroom::smtp
