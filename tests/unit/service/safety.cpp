// What a test system lets out. That nothing goes round it is in test_daemon_safety.py.
#include "service/safety.hpp"

#include "tests/unit/service/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

smtp::Envelope envelope_to(const std::vector<std::string>& recipients)
{
    smtp::Envelope envelope{samples::address("anna@example.com"), {}};
    for (const auto& text : recipients)
        envelope.recipients.push_back(samples::address(text));
    return envelope;
}

std::vector<std::string> who_gets_it(const Guarded& guarded)
{
    std::vector<std::string> addresses;
    for (const auto& address : guarded.envelope.recipients)
        addresses.push_back(address.str());
    return addresses;
}

Outcome server_said(Verdict verdict, const std::string& text)
{
    return {verdict, Scope::recipient, Cause::reply, Stage::rcpt_to, 250, {}, text, std::nullopt};
}

Delivery delivery_of(Outcome outcome, std::vector<Outcome> recipients)
{
    return {std::move(outcome), std::move(recipients), "mail.example:587", false};
}

std::vector<Verdict> verdicts_of(const Delivery& delivery)
{
    std::vector<Verdict> verdicts;
    for (const auto& recipient : delivery.recipients)
        verdicts.push_back(recipient.verdict);
    return verdicts;
}

const Safety redirects{{samples::address("t@test.example"), samples::address("u@test.example")}, {}};
const Safety allows{{}, std::vector<std::string>{"inside.test", "bruno@one.test"}};

TEST(Safety, WithoutSettingsAllGoesToWhomItIsFor)
{
    const Guarded guarded = guard({}, envelope_to({"a@x.test", "b@y.test"}));
    EXPECT_THAT(who_gets_it(guarded), ElementsAre("a@x.test", "b@y.test"));
    EXPECT_EQ(guarded.header, "");
    EXPECT_EQ(describe(Safety()), "");
}

TEST(Safety, AnAddressIsComparedWithoutCaseAndADomainWholly)
{
    const auto envelope = envelope_to({"BRUNO@One.Test", "x@inside.test", "x@INSIDE.TEST", "x@notinside.test",
                                       "x@sub.inside.test", "xbruno@one.test"});
    EXPECT_THAT(who_gets_it(guard(allows, envelope)), ElementsAre("BRUNO@One.Test", "x@inside.test", "x@INSIDE.TEST"));
}

TEST(Safety, AnEmptyListAllowsNobody)
{
    const Safety nobody{{}, std::vector<std::string>()};
    EXPECT_THAT(who_gets_it(guard(nobody, envelope_to({"a@x.test"}))), IsEmpty());
    EXPECT_THAT(describe(nobody), HasSubstr("nobody gets mail"));
}

TEST(Safety, RedirectedMailNamesWhomItWasForAboveItsOwnHeader)
{
    const Guarded guarded = guard(redirects, envelope_to({"a@x.test", "b@y.test"}));
    EXPECT_THAT(who_gets_it(guarded), ElementsAre("t@test.example", "u@test.example"));
    EXPECT_EQ(guarded.header, "X-Mailroom-Original-Recipients: a@x.test, b@y.test\r\n");
    EXPECT_EQ(guarded.envelope.sender.str(), "anna@example.com");
}

TEST(Safety, TheHeaderStaysWithinItsLinesHoweverManyAndWhateverTheyAre)
{
    std::vector<std::string> many(900, "somebody-with-a-long-name@a-long-domain.example");
    EXPECT_THAT(guard(redirects, envelope_to(many)).header, HasSubstr("and 850 more\r\n"));
    many.front() = "jörg@x.test";
    const std::string header = guard(redirects, envelope_to(many)).header;
    EXPECT_EQ(header.substr(header.size() - 2), "\r\n");
    for (std::size_t line = 0; line < header.size(); line = header.find("\r\n", line) + 2) {
        EXPECT_LE(header.find("\r\n", line) - line, 998U);
        EXPECT_TRUE(line == 0 || header[line] == ' ' || header[line] == '\t');
    }
    for (const char c : header)
        EXPECT_LT(static_cast<unsigned char>(c), 0x80U) << "the server need not know SMTPUTF8";
}

TEST(Safety, WhoeverIsNotAllowedIsRefusedInTheProducersOrder)
{
    const Guarded guarded = guard(allows, envelope_to({"no@x.test", "a@inside.test", "no@y.test", "b@inside.test"}));
    const Delivery told =
        told_of_all(allows, guarded,
                    delivery_of(server_said(Verdict::accepted, "taken"),
                                {server_said(Verdict::accepted, "ok"), server_said(Verdict::try_again, "later")}));
    EXPECT_THAT(verdicts_of(told),
                ElementsAre(Verdict::give_up, Verdict::accepted, Verdict::give_up, Verdict::try_again));
    EXPECT_EQ(told.recipients[0].text, "not allowed on this system ([safety] allow_only)");
    EXPECT_EQ(told.recipients[3].text, "later");
}

TEST(Safety, TroubleOfTheServerRefusesNobodyYet)
{
    const Guarded guarded = guard(allows, envelope_to({"no@x.test", "a@inside.test"}));
    Outcome away = server_said(Verdict::try_again, "away");
    away.scope = Scope::server;
    EXPECT_THAT(told_of_all(allows, guarded, delivery_of(away, {})).recipients, IsEmpty());
}

TEST(Safety, WhatIsInDoubtIsSoForThoseWhoWereAllowedOnly)
{
    const Guarded guarded = guard(allows, envelope_to({"no@x.test", "a@inside.test"}));
    const Delivery told = told_of_all(allows, guarded, delivery_of(server_said(Verdict::in_doubt, "lost"), {}));
    EXPECT_THAT(verdicts_of(told), ElementsAre(Verdict::give_up, Verdict::in_doubt));
}

TEST(Safety, RedirectedRecipientsShareTheFateOfTheBestAddress)
{
    const Guarded guarded = guard(redirects, envelope_to({"a@x.test", "b@y.test", "c@z.test"}));
    const Delivery told =
        told_of_all(redirects, guarded,
                    delivery_of(server_said(Verdict::accepted, "taken"),
                                {server_said(Verdict::give_up, "no such user"), server_said(Verdict::accepted, "ok")}));
    EXPECT_THAT(verdicts_of(told), ElementsAre(Verdict::accepted, Verdict::accepted, Verdict::accepted));
    EXPECT_EQ(told.outcome.text, "taken [redirected to t@test.example, u@test.example by [safety] redirect_to]");
}

TEST(Safety, ALongReplyIsNotCutForTheNote)
{
    const Guarded guarded = guard(redirects, envelope_to({"a@x.test"}));
    const std::string words(1020, 'w');
    EXPECT_EQ(told_of_all(redirects, guarded, delivery_of(server_said(Verdict::accepted, words), {})).outcome.text,
              words);
}

} // namespace
} // namespace mailroom
