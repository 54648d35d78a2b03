#include "service/outgoing.hpp"

#include "tests/unit/service/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mailroom {
namespace {

using namespace std::chrono_literals;
using rules::RecipientState;
using samples::Kind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto open = static_cast<int>(RecipientState::open);
constexpr auto accepted = static_cast<int>(RecipientState::accepted);
constexpr auto refused = static_cast<int>(RecipientState::refused);
constexpr auto in_doubt = static_cast<int>(RecipientState::in_doubt);

// ---- Who is in the envelope ----

std::vector<std::string> envelope_of(const queue::MessageContent& content)
{
    const auto addressing = addressing_of(content, samples::identity());
    std::vector<std::string> addresses;
    for (const auto& address : addressing.value().envelope.recipients)
        addresses.push_back(address.str());
    return addresses;
}

TEST(AddressingOf, TakesAllRecipientsInTheProducersOrder)
{
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de"});
    content.recipients.push_back(samples::recipient("c@x.de", Kind::cc));
    content.recipients.push_back(samples::recipient("d@x.de", Kind::bcc));
    const auto addressing = addressing_of(content, samples::identity()).value();
    EXPECT_THAT(envelope_of(content), ElementsAre("a@x.de", "b@x.de", "c@x.de", "d@x.de"));
    EXPECT_THAT(addressing.positions, ElementsAre(0, 1, 2, 3));
    EXPECT_EQ(addressing.envelope.sender, samples::identity().envelope_sender);
    EXPECT_FALSE(addressing.served_before || addressing.refused_before || addressing.doubtful_before);
}

TEST(AddressingOf, NamesAnAddressOnceHoweverItIsWritten)
{
    const queue::MessageContent content = samples::content({"a@x.de", "b@x.de", "A@X.de", "a@x.de"});
    EXPECT_THAT(envelope_of(content), ElementsAre("a@x.de", "b@x.de"));
    EXPECT_THAT(addressing_of(content, samples::identity()).value().positions, ElementsAre(0, 1));
}

TEST(AddressingOf, NamesADomainAsMailServersKnowItAndOnce)
{
    const queue::MessageContent content = samples::content({"a@Bücher.example", "a@xn--bcher-kva.example"});
    EXPECT_THAT(envelope_of(content), ElementsAre("a@xn--bcher-kva.example"));
}

TEST(AddressingOf, LeavesOutWhoWasServedOrRefused)
{
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de", "c@x.de", "d@x.de"});
    content.results = {{0, accepted}, {1, refused}, {2, open}};
    const auto addressing = addressing_of(content, samples::identity()).value();
    EXPECT_THAT(envelope_of(content), ElementsAre("c@x.de", "d@x.de"));
    EXPECT_THAT(addressing.positions, ElementsAre(2, 3));
    EXPECT_TRUE(addressing.served_before);
    EXPECT_TRUE(addressing.refused_before);
    EXPECT_FALSE(addressing.doubtful_before);
}

TEST(AddressingOf, LetsASecondCopyOfAnAddressShareTheFateOfTheFirst)
{
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de", "A@x.de"});
    content.results = {{0, accepted}, {1, open}};
    EXPECT_THAT(envelope_of(content), ElementsAre("b@x.de")); // never a@x.de again
}

TEST(AddressingOf, SendsToTheOpenBeforeThoseInDoubt)
{
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de"});
    content.results = {{0, in_doubt}, {1, open}};
    const auto addressing = addressing_of(content, samples::identity()).value();
    EXPECT_THAT(envelope_of(content), ElementsAre("b@x.de"));
    EXPECT_TRUE(addressing.doubtful_before); // a@x.de is not in this envelope
}

TEST(AddressingOf, SendsToThoseInDoubtWhenNobodyIsOpen)
{
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de", "c@x.de", "B@x.de"});
    content.results = {{0, accepted}, {1, in_doubt}, {2, refused}};
    const auto addressing = addressing_of(content, samples::identity()).value();
    EXPECT_THAT(envelope_of(content), ElementsAre("b@x.de"));
    EXPECT_THAT(addressing.positions, ElementsAre(1));
    EXPECT_FALSE(addressing.doubtful_before); // what was in doubt is tried now
    EXPECT_TRUE(addressing.served_before);
    EXPECT_TRUE(addressing.refused_before);
}

TEST(AddressingOf, FindsNobodyWhenAllAreSettled)
{
    queue::MessageContent content = samples::content({"a@x.de", "b@x.de"});
    content.results = {{0, accepted}, {1, refused}};
    EXPECT_FALSE(addressing_of(content, samples::identity()));
    EXPECT_FALSE(addressing_of(samples::content({}), samples::identity()));
}

TEST(AddressingOf, IgnoresAResultOfAPositionThatThereIsNot)
{
    queue::MessageContent content = samples::content({"a@x.de"});
    content.results = {{5, refused}};
    EXPECT_THAT(envelope_of(content), ElementsAre("a@x.de"));
}

// ---- The message to compose ----

TEST(MessageOf, TakesEverythingFromTheContentAndTheIdentity)
{
    const queue::Claimed claimed = samples::claimed();
    queue::MessageContent content = samples::content({"a@x.de"});
    content.recipients.push_back(samples::recipient("c@x.de", Kind::cc));
    content.recipients.push_back(samples::recipient("secret@x.de", Kind::bcc));
    content.reply_to = {{samples::header("Reply"), samples::address("r@x.de")}};
    content.headers.emplace_back(HeaderName::make("X-Order").value(), samples::header("4711"));
    content.html = "<p>Body</p>";
    content.attachments.push_back({samples::header("i.pdf"), "application/pdf", "", 12, 1, nullptr});
    content.attachments.push_back({samples::header("l.png"), "image/png", "logo", 3, 2, nullptr});
    const rules::Identity identity = samples::identity();
    const std::string message_id = "0b7e@mail.example";

    const auto message = message_of(claimed, content, identity, message_id).value();
    EXPECT_EQ(message.uid, "0b7e");
    EXPECT_EQ(message.message_id, message_id);
    EXPECT_EQ(message.date, std::chrono::sys_days(std::chrono::year(2026) / 12 / 1) + 1s); // whole seconds, never later
    EXPECT_EQ(message.from, identity.from);
    EXPECT_EQ(message.sender, identity.sender);
    ASSERT_EQ(message.to.size(), 1U);
    EXPECT_EQ(message.to[0].address.str(), "a@x.de");
    ASSERT_EQ(message.cc.size(), 1U);
    EXPECT_EQ(message.cc[0].address.str(), "c@x.de"); // and the blind copy nowhere
    EXPECT_EQ(message.reply_to, content.reply_to);
    EXPECT_EQ(message.subject, content.subject);
    EXPECT_EQ(message.headers, content.headers);
    EXPECT_EQ(message.text, "Body");
    EXPECT_EQ(message.html, "<p>Body</p>");
    ASSERT_EQ(message.attachments.size(), 2U);
    EXPECT_EQ(message.attachments[0].size, 12U);
    EXPECT_EQ(message.attachments[0].type.str(), "application/pdf");
    EXPECT_FALSE(message.attachments[0].content_id);
    EXPECT_EQ(message.attachments[1].content_id.value().str(), "logo");
}

TEST(MessageOf, TakesPriorityCalendarAndTheLinkToUnsubscribe)
{
    const queue::Claimed claimed = samples::claimed();
    const rules::Identity identity = samples::identity();
    queue::MessageContent content = samples::content({"a@x.de"});
    const auto plain = message_of(claimed, content, identity, "m").value();
    EXPECT_EQ(plain.priority, mime::Priority::normal);
    EXPECT_FALSE(plain.calendar);
    EXPECT_FALSE(plain.unsubscribe);

    content.priority = "low";
    content.calendar = {"cancel", "BEGIN:VCALENDAR"};
    content.unsubscribe = {"https://x.de/u", samples::address("leave@x.de")};
    const auto full = message_of(claimed, content, identity, "m").value();
    EXPECT_EQ(full.priority, mime::Priority::low);
    EXPECT_EQ(full.calendar.value().method.str(), "CANCEL");
    EXPECT_EQ(full.calendar.value().content, "BEGIN:VCALENDAR");
    EXPECT_EQ(full.unsubscribe.value().url.str(), "https://x.de/u");
    EXPECT_EQ(full.unsubscribe.value().mailto, samples::address("leave@x.de"));
}

TEST(MessageOf, NamesWhatOfThemCannotBeComposed)
{
    const queue::Claimed claimed = samples::claimed();
    const rules::Identity identity = samples::identity();
    const auto said = [&](const queue::MessageContent& content) {
        return message_of(claimed, content, identity, "m").error().text;
    };
    queue::MessageContent content = samples::content({"a@x.de"});
    content.priority = "urgent";
    EXPECT_THAT(said(content), HasSubstr("the priority: "));
    content.priority.clear();
    content.calendar = {"INVITE", ""};
    EXPECT_THAT(said(content), HasSubstr("the calendar: "));
    content.calendar.reset();
    content.unsubscribe = {"http://x.de/u", std::nullopt};
    EXPECT_THAT(said(content), HasSubstr("the link to unsubscribe: "));
}

TEST(MessageOf, SaysWhyItCannotBeComposed)
{
    const queue::Claimed claimed = samples::claimed();
    const rules::Identity identity = samples::identity();
    queue::MessageContent content = samples::content({"a@x.de"});
    content.problem = "a body is not valid UTF-8";
    EXPECT_EQ(message_of(claimed, content, identity, "m").error().text, "a body is not valid UTF-8");

    content.problem.clear();
    content.attachments.push_back({samples::header("x"), "no type", "", 1, 1, nullptr});
    EXPECT_THAT(message_of(claimed, content, identity, "m").error().text, HasSubstr("an attachment's type"));

    content.attachments.back() = {samples::header("x"), "image/png", "a b", 1, 1, nullptr};
    EXPECT_THAT(message_of(claimed, content, identity, "m").error().text, HasSubstr("content id"));
}

// ---- The identity that must not change any more ----

TEST(PinnedIdentity, IsReadAsItWasWritten)
{
    const rules::PinnedIdentity plain{{{}, samples::address("a@x.de")}, std::nullopt};
    const rules::PinnedIdentity full{{samples::header("Änne \"Ä\" \\"), samples::address("änne@x.de")},
                                     samples::address("mailer@x.de")};
    for (const auto& pinned : {plain, full}) {
        const auto read = pinned_from(to_json(pinned));
        ASSERT_TRUE(read);
        EXPECT_EQ(read->from, pinned.from);
        EXPECT_EQ(read->sender, pinned.sender);
    }
}

TEST(PinnedIdentity, IsKeptAsPeopleWroteIt)
{
    const rules::PinnedIdentity pinned{{{}, samples::address("a@Bücher.example")},
                                       samples::address("b@Bücher.example")};
    const auto read = pinned_from(to_json(pinned)).value();
    EXPECT_EQ(read.from.address.written(), "a@Bücher.example");
    EXPECT_EQ(read.sender.value().written(), "b@Bücher.example");
}

TEST(PinnedIdentity, IsNoneWhereNothingIsStored)
{
    EXPECT_FALSE(pinned_from(""));
}

TEST(PinnedIdentity, IsNoneWhereItCannotBeRead)
{
    EXPECT_FALSE(pinned_from("{}"));
    EXPECT_FALSE(pinned_from("nonsense"));
    EXPECT_FALSE(pinned_from(R"({"name": "", "from": "no address"})"));
}

// ---- What the queue stores ----

class RecordOf : public testing::Test {
protected:
    RecordOf()
    {
        delivery.outcome = {Verdict::try_again, Scope::message, Cause::reply, Stage::data, 451, "4.3.0",
                            "later, please",    std::nullopt};
        delivery.server = "smtp.erp.example:587";
        content = samples::content({"a@x.de", "b@x.de", "c@x.de"});
        addressing = addressing_of(content, identity);
    }

    Attempted attempted() const { return {"S11", &identity, started, &delivery, &*addressing}; }

    static constexpr queue::PlaceId place = 42;

    Record record(rules::Transition transition, std::vector<RecipientState> recipients = {},
                  queue::PlaceId at = place) const
    {
        return record_of(claimed, attempted(), {std::move(transition), rules::Consequence::none, std::move(recipients)},
                         at);
    }
    queue::Suspension suspension(rules::Transition transition, std::vector<RecipientState> recipients = {},
                                 queue::PlaceId at = place) const
    {
        return std::get<queue::Suspension>(record(std::move(transition), std::move(recipients), at));
    }
    queue::Ending ending(rules::Completed::End end, std::vector<RecipientState> recipients = {}) const
    {
        return std::get<queue::Ending>(record(rules::Completed{end}, std::move(recipients)));
    }

    queue::Claimed claimed = samples::claimed();
    rules::Identity identity = samples::identity();
    queue::MessageContent content;
    std::optional<Addressing> addressing;
    std::chrono::system_clock::time_point started = std::chrono::sys_days(std::chrono::year(2026) / 12 / 2);
    Delivery delivery;
};

TEST_F(RecordOf, EndsAMessageThatIsCompleted)
{
    EXPECT_EQ(ending(rules::Completed::End::sent).outcome, "sent");
    EXPECT_EQ(ending(rules::Completed::End::partly_sent).outcome, "partly_sent");
    EXPECT_EQ(ending(rules::Completed::End::failed).outcome, "failed");
    const queue::Ending end = ending(rules::Completed::End::sent);
    EXPECT_EQ(end.id, claimed.id);
    EXPECT_EQ(end.lease_no, claimed.lease_no);
    EXPECT_EQ(end.counted, 1);
    EXPECT_THAT(end.results, IsEmpty());
}

TEST_F(RecordOf, KeepsWhoSentAsWhomAndWhatTheServerSaid)
{
    const queue::AttemptRecord attempt = ending(rules::Completed::End::failed).attempt;
    EXPECT_EQ(attempt.started_at, started);
    EXPECT_EQ(attempt.table_row, "S11");
    EXPECT_EQ(attempt.account, identity.paired_as);
    EXPECT_EQ(attempt.from, to_string(identity.from));
    EXPECT_EQ(attempt.sender, identity.sender ? identity.sender->str() : "");
    EXPECT_EQ(attempt.envelope_sender, identity.envelope_sender.str());
    EXPECT_EQ(attempt.server, "smtp.erp.example:587");
    EXPECT_EQ(attempt.stage, "data");
    EXPECT_EQ(attempt.code, 451);
    EXPECT_EQ(attempt.enhanced, "4.3.0");
    EXPECT_EQ(attempt.reply, "later, please");
}

TEST_F(RecordOf, PutsBackWhatIsTriedAgain)
{
    const queue::Suspension counted = suspension(rules::RetryAt{90'500ms, true}, {}, queue::unsorted);
    EXPECT_EQ(counted.event, "deferred");
    EXPECT_EQ(counted.place, queue::unsorted);
    EXPECT_EQ(counted.delay, 90'500ms);
    EXPECT_EQ(counted.counted, 1);
    EXPECT_FALSE(counted.doubtful);
    EXPECT_EQ(counted.note, "next attempt in 91 s");
    EXPECT_EQ(counted.pinned, "");

    const queue::Suspension uncounted = suspension(rules::RetryAt{1s, false});
    EXPECT_EQ(uncounted.counted, 0);
    EXPECT_EQ(uncounted.note, "next attempt in 1 s, this one does not count");
}

TEST_F(RecordOf, LeavesAtItsRouteWhatWaitsForItsAccount)
{
    const queue::Suspension waiting = suspension(rules::RetryAt{60s, false}, {}, 42);
    EXPECT_EQ(waiting.event, "deferred");
    EXPECT_EQ(waiting.place, 42);
    EXPECT_EQ(waiting.delay, 0ms); // the route is blocked, not the message
    EXPECT_EQ(waiting.note, "next attempt in 60 s, this one does not count");
}

TEST_F(RecordOf, TellsNothingOfAMessageThatAStopHandedBack)
{
    delivery.outcome.cause = Cause::stopped;
    EXPECT_EQ(suspension(rules::RetryAt{0ms, false}).event, "returned");
}

TEST_F(RecordOf, PromisesNoNextAttemptOfWhatExpired)
{
    delivery.outcome.cause = Cause::expired;
    EXPECT_THAT(suspension(rules::RetryAt{60s, false}).note, testing::HasSubstr("not sent any more"));
}

TEST(ExpiryOf, IsTheEarlierOfItsOwnAndOfTheAgeLimitCountedFromWhenItWasFirstPutOff)
{
    const auto now = std::chrono::steady_clock::now();
    queue::Claimed claimed;
    EXPECT_EQ(expiry_of(claimed, 120h, now), std::chrono::steady_clock::time_point::max()) << "never put off";
    claimed.put_off_for = 20h;
    EXPECT_EQ(expiry_of(claimed, 120h, now), now + 100h);
    EXPECT_EQ(expiry_of(claimed, 0ms, now), std::chrono::steady_clock::time_point::max()) << "no limit";
    EXPECT_LE(expiry_of(claimed, 20h, now), now);
    claimed.expires_in = 1h;
    EXPECT_EQ(expiry_of(claimed, 120h, now), now + 1h);
    EXPECT_EQ(expiry_of(claimed, 0ms, now), now + 1h);
    claimed.expires_in = -1ms;
    EXPECT_LT(expiry_of(claimed, 120h, now), now);
}

TEST_F(RecordOf, HoldsInThePlaceOfTheHold)
{
    const rules::Hold hold{rules::HoldReason::auth_failed,
                           {rules::Subject{rules::Subject::Kind::user, 12, "ANNA", "Password"}}};
    const queue::Suspension held = suspension(rules::Held{hold});
    EXPECT_EQ(held.event, "held");
    EXPECT_EQ(held.place, place);
    EXPECT_EQ(held.delay, 0ms);
    EXPECT_EQ(held.counted, 0);
    EXPECT_EQ(held.note, rules::describe(hold) + ": " + rules::remedy(hold));
}

TEST_F(RecordOf, HoldsWithoutAnAttemptWhereNobodyCanSend)
{
    const rules::Hold hold{rules::HoldReason::no_user, {rules::Subject{rules::Subject::Kind::user, 0, "X", {}}}};
    const Attempted none{"S1", nullptr, std::nullopt, nullptr, nullptr};
    const auto held = std::get<queue::Suspension>(record_of(claimed, none, rules::decide(hold), place));
    EXPECT_EQ(held.attempt.table_row, "S1");
    EXPECT_FALSE(held.attempt.started_at);
    EXPECT_EQ(held.attempt.account + held.attempt.server + held.attempt.stage, "");
    EXPECT_EQ(held.attempt.code, 0);
    EXPECT_THAT(held.results, IsEmpty());
}

TEST_F(RecordOf, SendsWhatIsInDoubtOnceMoreLaterAsTheSamePerson)
{
    const queue::Suspension doubt = suspension(rules::InDoubt{15min});
    EXPECT_EQ(doubt.event, "in_doubt");
    EXPECT_EQ(doubt.place, queue::unsorted);
    EXPECT_EQ(doubt.delay, 15min);
    EXPECT_TRUE(doubt.doubtful);
    EXPECT_EQ(doubt.counted, 0);
    EXPECT_EQ(doubt.note, "resent once in 900 s, as a possible duplicate");
    const auto pinned = pinned_from(doubt.pinned);
    ASSERT_TRUE(pinned);
    EXPECT_EQ(pinned->from, identity.from);
    EXPECT_EQ(pinned->sender, identity.sender);
}

TEST_F(RecordOf, HoldsWhatIsInDoubtForAnOperatorWhereThePolicySaysSo)
{
    const queue::Suspension doubt = suspension(rules::InDoubt{});
    EXPECT_EQ(doubt.event, "in_doubt");
    EXPECT_EQ(doubt.place, place);
    EXPECT_EQ(doubt.delay, 0ms);
    EXPECT_TRUE(doubt.doubtful);
    EXPECT_FALSE(doubt.pinned.empty());
}

TEST_F(RecordOf, PinsTheIdentityOnceARecipientWasServed)
{
    using enum RecipientState;
    EXPECT_EQ(suspension(rules::RetryAt{1s, true}, {refused, open, open}).pinned, "");
    EXPECT_NE(suspension(rules::RetryAt{1s, true}, {accepted, open, open}).pinned, "");
    EXPECT_NE(suspension(rules::RetryAt{1s, true}, {in_doubt, open, open}).pinned, "");
    claimed.pinned = R"({"name":"","from":"old@x.de"})"; // what was pinned first stays
    EXPECT_EQ(suspension(rules::RetryAt{1s, true}, {accepted, open, open}).pinned, "");
}

TEST_F(RecordOf, KeepsTheResultOfEachRecipientWhereTheyDiffer)
{
    using enum RecipientState;
    content.results = {{0, static_cast<int>(accepted)}};
    addressing = addressing_of(content, identity); // b and c are left
    delivery.recipients = {
        {Verdict::accepted, Scope::recipient, Cause::none, Stage::rcpt_to, 250, "2.1.5", "ok", std::nullopt},
        {Verdict::give_up, Scope::recipient, Cause::reply, Stage::rcpt_to, 550, "5.1.1", "no such user", std::nullopt}};
    const queue::Suspension put_back = suspension(rules::RetryAt{1s, true}, {open, refused});
    ASSERT_EQ(put_back.results.size(), 2U);
    EXPECT_EQ(put_back.results[0].position, 1); // in the producer's list
    EXPECT_EQ(put_back.results[0].state, static_cast<int>(open));
    EXPECT_EQ(put_back.results[0].code, 451); // taken at RCPT TO, it shares the fate of the transaction
    EXPECT_EQ(put_back.results[1].position, 2);
    EXPECT_EQ(put_back.results[1].state, static_cast<int>(refused));
    EXPECT_EQ(put_back.results[1].code, 550);
    EXPECT_EQ(put_back.results[1].enhanced, "5.1.1");
    EXPECT_EQ(put_back.results[1].reply, "no such user");
    EXPECT_EQ(ending(rules::Completed::End::partly_sent, {accepted, refused}).results.size(), 2U);
}

// ---- Places and facts ----

TEST(PlaceOfHold, SaysWhyWhoCanHelpAndWhetherItEndsByItself)
{
    const rules::Hold hold{rules::HoldReason::config_incomplete,
                           {rules::Subject{rules::Subject::Kind::user, 12, "ANNA", "Password"},
                            rules::Subject{rules::Subject::Kind::general, 0, {}, "Server Name"}}};
    const queue::PlaceOfHold place = place_of_hold(hold);
    EXPECT_EQ(place.key, rules::place_key(hold));
    EXPECT_EQ(place.reason, "config_incomplete");
    EXPECT_EQ(place.subject, "user ANNA: Password; general: Server Name");
    EXPECT_EQ(place.remedy, rules::remedy(hold));
    EXPECT_THAT(place.owners, ElementsAre("user:12", "general"));
    EXPECT_TRUE(place.self_releasing);
    EXPECT_FALSE(place_of_hold(doubt_hold()).self_releasing);
    EXPECT_THAT(place_of_hold(doubt_hold()).owners, IsEmpty());
}

TEST(FactsOf, AreThoseOfTheClaimedMessage)
{
    queue::Claimed claimed = samples::claimed();
    claimed.row_id = 3;
    claimed.addressed = true;
    rules::Facts facts = facts_of(claimed);
    EXPECT_EQ(facts.source, rules::Source::erp);
    EXPECT_EQ(facts.user, rules::samples::anna_id);
    EXPECT_EQ(facts.user_code, "ANNA");
    EXPECT_EQ(facts.row, 3);
    EXPECT_EQ(facts.model, std::nullopt);
    EXPECT_TRUE(facts.addressed);
    claimed.mobile = true;
    EXPECT_EQ(facts_of(claimed).source, rules::Source::mobile);
}

} // namespace
} // namespace mailroom
