// Message by next message behind its dot: what becomes of both for each way in which either can go, and of the one
// after them.
#include "tests/unit/smtp/conversation.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace mailroom::smtp {
namespace {

struct FirstCase { // at its dot
    std::string name;
    std::optional<Fault> fault;
    Verdict verdict;
    bool goes_on; // the session
};

struct NextCase {
    std::string name;
    Faults faults;
    Verdict verdict; // where the session goes on
    Cause cause;
    Stage stage;
    bool goes_on;
    std::vector<Verdict> recipients = {}; // empty: all share the verdict
};

void PrintTo(const FirstCase& first, std::ostream* out)
{
    *out << first.name;
}

const std::vector<FirstCase> first_cases = {
    {"Taken", std::nullopt, Verdict::accepted, true},
    {"RefusedForNow", Fault::refused_for_now, Verdict::try_again, true},
    {"RefusedForGood", Fault::refused_for_good, Verdict::give_up, true},
    {"Farewell", Fault::closing, Verdict::try_again, false},
    {"TakenAndFarewell", Fault::closing_at_once, Verdict::accepted, false},
    {"Closed", Fault::close, Verdict::in_doubt, false},
    {"Reset", Fault::reset, Verdict::in_doubt, false},
    {"HalfAReply", Fault::half_a_reply, Verdict::in_doubt, false},
    {"Silence", Fault::silence, Verdict::in_doubt, false},
    {"Garbage", Fault::garbage, Verdict::in_doubt, false},
    {"OutOfPlace", Fault::out_of_place, Verdict::in_doubt, false},
};

constexpr Place first_dot{1, Stage::final_dot, 0};
constexpr Place next_mail{2, Stage::mail_from, 0};
constexpr Place next_rcpt{2, Stage::rcpt_to, 0};
constexpr Place last_rcpt{2, Stage::rcpt_to, 1};
constexpr Place next_data{2, Stage::data, 0};
constexpr Place next_dot{2, Stage::final_dot, 0};

std::vector<NextCase> next_cases()
{
    const auto good = Verdict::accepted;
    const auto again = Verdict::try_again;
    const auto never = Verdict::give_up;
    std::vector<NextCase> cases = {
        {"AllGood", {}, good, Cause::none, Stage::final_dot, true},
        {"MailRefusedForNow", {{next_mail, Fault::refused_for_now}}, again, Cause::reply, Stage::mail_from, true},
        {"MailRefusedForGood", {{next_mail, Fault::refused_for_good}}, never, Cause::reply, Stage::mail_from, true},
        {"ARecipientRefused",
         {{next_rcpt, Fault::refused_for_good}},
         good,
         Cause::none,
         Stage::final_dot,
         true,
         {never, good}},
        {"TheLastRecipientRefused",
         {{last_rcpt, Fault::refused_for_now}},
         good,
         Cause::none,
         Stage::final_dot,
         true,
         {good, again}},
        {"AllRecipientsRefused",
         {{next_rcpt, Fault::refused_for_good}, {last_rcpt, Fault::refused_for_good}},
         never,
         Cause::reply,
         Stage::rcpt_to,
         true},
        {"RecipientsRefusedForGoodAndForNow",
         {{next_rcpt, Fault::refused_for_good}, {last_rcpt, Fault::refused_for_now}},
         again,
         Cause::reply,
         Stage::rcpt_to,
         true,
         {never, again}},
        {"DataRefusedForNow", {{next_data, Fault::refused_for_now}}, again, Cause::reply, Stage::data, true},
        {"DataRefusedForGood", {{next_data, Fault::refused_for_good}}, never, Cause::reply, Stage::data, true},
        {"RefusedAtItsDot", {{next_dot, Fault::refused_for_good}}, never, Cause::reply, Stage::final_dot, true},
        {"ClosedAtItsDot",
         {{next_dot, Fault::close}},
         Verdict::in_doubt,
         Cause::connection_lost,
         Stage::final_dot,
         false},
    };
    const std::vector<std::pair<Place, std::string>> commands = {
        {next_mail, "Mail"}, {next_rcpt, "Rcpt"}, {last_rcpt, "LastRcpt"}, {next_data, "Data"}};
    for (const auto& [place, name] : commands) {
        cases.push_back(
            {"ClosedAt" + name, {{place, Fault::close}}, again, Cause::connection_lost, place.stage, false});
        cases.push_back({"ResetAt" + name, {{place, Fault::reset}}, again, Cause::connection_lost, place.stage, false});
        cases.push_back({"FarewellAt" + name, {{place, Fault::closing}}, again, Cause::reply, place.stage, false});
        cases.push_back({"SilenceAt" + name, {{place, Fault::silence}}, again, Cause::timed_out, place.stage, false});
        cases.push_back(
            {"GarbageAt" + name, {{place, Fault::garbage}}, again, Cause::protocol_error, place.stage, false});
        cases.push_back(
            {"OutOfPlaceAt" + name, {{place, Fault::out_of_place}}, again, Cause::protocol_error, place.stage, false});
        // The reply that is one too many is taken for that of the next command, and shows itself at DATA or behind it.
        const Stage shown = place == next_data ? Stage::content : Stage::data;
        cases.push_back({"TwiceAt" + name, {{place, Fault::twice}}, again, Cause::protocol_error, shown, false});
    }
    return cases;
}

const Course behind_the_dot = {"", {.pipelining = true}};

class NextMessage : public Conversation, public testing::WithParamInterface<FirstCase> {
protected:
    void expect_not_sent()
    {
        EXPECT_EQ(outcome(2).verdict, Verdict::try_again);
        EXPECT_EQ(outcome(2).stage, Stage::mail_from);
        EXPECT_EQ(model->mails().size(), 1U);
        EXPECT_FALSE(the_third_was_sent());
    }

    void expect(const NextCase& next)
    {
        EXPECT_EQ(outcome(2).verdict, next.verdict);
        EXPECT_EQ(outcome(2).cause, next.cause);
        EXPECT_EQ(outcome(2).stage, next.stage);
        std::vector<Verdict> recipients;
        for (const Outcome& recipient : messages[1].delivery->recipients)
            recipients.push_back(recipient.verdict);
        if (!next.recipients.empty())
            EXPECT_EQ(recipients, next.recipients);
        else
            EXPECT_THAT(recipients, testing::Each(next.verdict));
        EXPECT_EQ(the_third_was_sent(), next.goes_on);
    }
};

TEST_P(NextMessage, EndsAsItsServerSaidAndLeavesTheOthersAlone)
{
    const FirstCase& first = GetParam();
    for (const NextCase& next : next_cases()) {
        SCOPED_TRACE(next.name);
        Faults faults = next.faults;
        if (first.fault)
            faults[first_dot] = *first.fault;
        converse(behind_the_dot, faults);
        expect_what_always_holds();
        EXPECT_EQ(outcome(1).verdict, first.verdict);
        EXPECT_NE(peer->heard().find("end of first\r\n.\r\nMAIL FROM"), std::string::npos) << "nothing was begun";
        if (first.goes_on)
            expect(next);
        else
            expect_not_sent();
    }
}

INSTANTIATE_TEST_SUITE_P(Matrix, NextMessage, testing::ValuesIn(first_cases),
                         [](const auto& first) { return first.param.name; });

// Replies have no names: the first of them counts as the one to the dot, whatever the server meant. What it did with
// the first message cannot be known then; the second must stay untouched, and the session must end.
class AnsweredFirst : public Conversation, public testing::WithParamInterface<FirstCase> {};

TEST_P(AnsweredFirst, TheNextMessageIsNotSentAndTheSessionEnds)
{
    Faults faults;
    if (GetParam().fault)
        faults[first_dot] = *GetParam().fault;
    for (const bool mail_is_refused : {false, true}) {
        if (mail_is_refused)
            faults[next_mail] = Fault::refused_for_now;
        converse(behind_the_dot, faults, ModelServer::Order::next_message_first);
        EXPECT_EQ(outcome(1).verdict, mail_is_refused ? Verdict::try_again : Verdict::accepted);
        EXPECT_NE(outcome(2).verdict, Verdict::accepted);
        EXPECT_NE(outcome(2).verdict, Verdict::in_doubt);
        EXPECT_EQ(peer->heard().find("end of second"), std::string::npos);
        EXPECT_FALSE(the_third_was_sent());
    }
}

INSTANTIATE_TEST_SUITE_P(Verdicts, AnsweredFirst, testing::ValuesIn(first_cases),
                         [](const auto& first) { return first.param.name; });

} // namespace
} // namespace mailroom::smtp
