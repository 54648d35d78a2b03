// Every course of a transaction, failing at every one of its steps.
#include "tests/unit/smtp/dialogue.hpp"
#include "transport/smtp/transaction.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace mailroom::smtp {
namespace {

struct Case {
    std::string name;
    std::vector<std::string> recipients;
    Capabilities server;
    Reset reset;
    std::vector<std::string_view> replies; // "" where the content is written
};

std::vector<Case> cases()
{
    Capabilities offers_size = pipelining();
    offers_size.size = true;
    offers_size.max_size = 1000;
    Capabilities offers_smtputf8 = pipelining();
    offers_smtputf8.smtputf8 = true;
    return {
        {"plain", {"b@example.com"}, {}, Reset::not_needed, {"250 ok", "250 ok", "354 go", "", "250 ok"}},
        {"pipelined", {"b@example.com"}, pipelining(), Reset::not_needed, {"250 ok", "250 ok", "354 go", "", "250 ok"}},
        {"after a reset",
         {"b@example.com"},
         pipelining(),
         Reset::first,
         {"250 ok", "250 ok", "250 ok", "354 go", "", "250 ok"}},
        {"with SIZE", {"b@example.com"}, offers_size, Reset::not_needed, {"250 ok", "250 ok", "354 go", "", "250 ok"}},
        {"with SMTPUTF8",
         {"b\xC3\xBC@example.com"},
         offers_smtputf8,
         Reset::not_needed,
         {"250 ok", "250 ok", "354 go", "", "250 ok"}},
        {"with ENHANCEDSTATUSCODES",
         {"b@example.com"},
         pipelining(),
         Reset::not_needed,
         {"250 2.1.0 ok", "250 2.1.5 ok", "354 go", "", "250 2.6.0 ok"}},
        {"two recipients",
         {"b@example.com", "c@example.com"},
         {},
         Reset::not_needed,
         {"250 ok", "550 5.1.1 unknown", "250 ok", "354 go", "", "250 ok"}},
        {"two recipients pipelined",
         {"b@example.com", "c@example.com"},
         pipelining(),
         Reset::not_needed,
         {"250 ok", "250 ok", "450 4.2.0 later", "354 go", "", "250 ok"}},
    };
}

struct Position {
    bool past_the_dot = false;
    bool finished = false;
};

void PrintTo(const Case& course, std::ostream* out)
{
    *out << course.name;
}

// Plays the first `steps` replies of a course.
Position play(Dialogue& d, const Case& course, std::size_t steps)
{
    Position position;
    for (std::size_t i = 0; i < steps; ++i) {
        if (course.replies[i].empty()) {
            d.write_content();
            position.past_the_dot = true;
        } else {
            d.hear({course.replies[i]});
        }
    }
    position.finished = d.is_finished();
    return position;
}

class EveryStep : public testing::TestWithParam<Case> {
protected:
    // Plays the course again and again, breaking it off before each of its steps.
    void at_every_step(const std::function<void(Dialogue&, Position)>& check)
    {
        const Case& course = GetParam();
        for (std::size_t steps = 0; steps < course.replies.size(); ++steps) {
            SCOPED_TRACE("after " + std::to_string(steps) + " steps");
            Dialogue d(envelope(course.recipients), course.server, 1000, course.reset);
            const Position position = play(d, course, steps);
            ASSERT_FALSE(position.finished);
            check(d, position);
        }
    }
};

void expect_no_acceptance(const Dialogue& d)
{
    EXPECT_NE(d.outcome().verdict, Verdict::accepted);
    for (const Outcome& recipient : d.recipients())
        EXPECT_NE(recipient.verdict, Verdict::accepted);
}

TEST_P(EveryStep, EndsWithAnAcceptance)
{
    const Case& course = GetParam();
    Dialogue d(envelope(course.recipients), course.server, 1000, course.reset);
    EXPECT_TRUE(play(d, course, course.replies.size()).finished);
    EXPECT_EQ(d.outcome().verdict, Verdict::accepted);
    EXPECT_EQ(d.end().link, LinkState::clean);
}

TEST_P(EveryStep, LosingTheLinkIsTriedAgainBeforeTheDotAndInDoubtAfterIt)
{
    for (const Cause cause : {Cause::connection_lost, Cause::timed_out, Cause::protocol_error, Cause::stopped}) {
        at_every_step([&](Dialogue& d, Position position) {
            const Stage stage = d.transaction.stage();
            d.lose({cause, "gone"});
            EXPECT_EQ(d.outcome().verdict, position.past_the_dot ? Verdict::in_doubt : Verdict::try_again);
            EXPECT_EQ(d.outcome().stage, stage);
            EXPECT_EQ(d.end().link, LinkState::unusable);
            expect_no_acceptance(d);
        });
    }
}

TEST_P(EveryStep, A421IsTheServersTroubleAndTriedAgain)
{
    at_every_step([](Dialogue& d, Position) {
        d.hear({"421 4.3.0 closing"});
        EXPECT_EQ(d.outcome().verdict, Verdict::try_again);
        EXPECT_EQ(d.outcome().scope, Scope::server);
        EXPECT_EQ(d.end().link, LinkState::unusable);
        expect_no_acceptance(d);
    });
}

// Only what ended before any content went may be tried again one command at a time.
TEST_P(EveryStep, ABrokenFlightIsToldFromABrokenContentAndFromLockStep)
{
    const bool pipelined = GetParam().server.pipelining;
    for (const Cause cause : {Cause::connection_lost, Cause::timed_out, Cause::protocol_error}) {
        at_every_step([&](Dialogue& d, Position position) {
            const bool before_content = !position.past_the_dot && !d.wants_content();
            d.lose({cause, "gone"});
            const BrokeOff expected = !before_content ? BrokeOff::no
                                      : pipelined     ? BrokeOff::pipelined
                                                      : BrokeOff::in_lock_step;
            EXPECT_EQ(d.end().broke_off, expected);
        });
    }
    at_every_step([&](Dialogue& d, Position) {
        d.hear({"421 4.3.0 closing"});
        EXPECT_EQ(d.end().broke_off, BrokeOff::no) << "a proper answer";
    });
}

// The server answers the rest of what was said, but wants no content.
void refuse_to_the_end(Dialogue& d, std::string_view refusal)
{
    for (int i = 0; i < 10 && !d.is_finished(); ++i)
        d.hear({refusal});
}

TEST_P(EveryStep, ARefusalIsNeverAnAcceptance)
{
    for (const std::string_view refusal : {"450 4.0.0 later", "550 5.0.0 never", "503 5.5.1 bad sequence"}) {
        at_every_step([&](Dialogue& d, Position) {
            refuse_to_the_end(d, refusal);
            ASSERT_TRUE(d.is_finished());
            expect_no_acceptance(d);
            EXPECT_NE(d.end().link, LinkState::clean);
            EXPECT_NE(d.outcome().verdict, Verdict::in_doubt) << "the server did answer";
        });
    }
}

TEST_P(EveryStep, AReplyOutOfPlaceIsNeverAnAcceptanceAndEndsTheLink)
{
    at_every_step([](Dialogue& d, Position position) {
        if (d.transaction.stage() == Stage::data)
            d.hear({"250 ok"});
        else
            d.hear({"354 go"});
        for (int i = 0; i < 10 && !d.is_finished(); ++i)
            d.hear({"503 5.5.1 bad sequence"});
        ASSERT_TRUE(d.is_finished());
        expect_no_acceptance(d);
        EXPECT_EQ(d.end().link, LinkState::unusable);
        EXPECT_EQ(d.outcome().verdict, position.past_the_dot ? Verdict::in_doubt : Verdict::try_again);
    });
}

INSTANTIATE_TEST_SUITE_P(Cases, EveryStep, testing::ValuesIn(cases()), [](const auto& course) {
    std::string name = course.param.name;
    std::ranges::replace(name, ' ', '_');
    return name;
});

} // namespace
} // namespace mailroom::smtp
