// Each extension on, off and misbehaving, each dialogue broken at every one of its replies: what the client says became
// of a message is held against what the server knows of it.
#include "tests/unit/smtp/conversation.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <sstream>

namespace mailroom::smtp {
namespace {

constexpr auto all_faults =
    std::to_array<Fault>({Fault::close, Fault::reset, Fault::half_a_reply, Fault::closing, Fault::closing_at_once,
                          Fault::silence, Fault::garbage, Fault::refused_for_now, Fault::refused_for_good,
                          Fault::unknown_command, Fault::out_of_sequence, Fault::out_of_place, Fault::twice});

std::vector<Course> courses()
{
    using Offers = ModelServer::Offers;
    const auto behind = Pipelining::next_message;
    return {
        {"NothingIsOffered", Offers{}},
        {"HeloAlone", Offers{.ehlo = false}},
        {"TheNextMessageBehindTheDot", Offers{.pipelining = true}},
        {"OneMessageInAFlight", Offers{.pipelining = true}, Pipelining::message},
        {"PipeliningThatIsNotUsed", Offers{.pipelining = true}, Pipelining::never},
        {"Size", Offers{.size = true}},
        {"SizeBehindTheDot", Offers{.pipelining = true, .size = true}},
        {"Smtputf8BehindTheDot", Offers{.pipelining = true, .smtputf8 = true}, behind, true},
        {"Smtputf8ThatIsNotOffered", Offers{.pipelining = true}, behind, true},
        {"EnhancedStatusCodesBehindTheDot", Offers{.pipelining = true, .enhanced_status_codes = true}},
        {"StarttlsAndPlain",
         Offers{.security = Security::starttls, .mechanisms = "PLAIN LOGIN", .pipelining = true, .size = true}},
        {"StarttlsAndLogin", Offers{.security = Security::starttls, .mechanisms = "LOGIN"}},
        {"ImplicitTlsAndPlainThatIsRefused",
         Offers{.security = Security::implicit_tls,
                .mechanisms = "PLAIN LOGIN",
                .takes_plain = false,
                .pipelining = true,
                .smtputf8 = true,
                .enhanced_status_codes = true},
         behind, true},
    };
}

bool can_be(Fault fault, const Place& place)
{
    return place.stage != Stage::tls || fault != Fault::twice; // a handshake is no reply
}

class BrokenEverywhere : public Conversation {
protected:
    void break_everywhere(const Course& course)
    {
        converse(course, {});
        expect_what_always_holds();
        const std::vector<Place> places = model->places();
        ASSERT_GE(places.size(), 14U);
        for (const Place& place : places) {
            for (const Fault fault : all_faults) {
                if (!can_be(fault, place) || place.message == 3)
                    continue;
                std::ostringstream where;
                where << name_of(fault) << " at " << place;
                SCOPED_TRACE(where.str());
                converse(course, {{place, fault}});
                expect_what_always_holds();
                expect_more(place, fault);
            }
        }
    }

    void expect_more(const Place& place, Fault fault)
    {
        if (fault == Fault::silence) // a busy machine may run into the little time before
            return;
        EXPECT_EQ(model->faults_played(), 1U);
        const bool refusal = fault == Fault::refused_for_now || fault == Fault::refused_for_good;
        if (!refusal || place.message == 0)
            return;
        EXPECT_TRUE(the_third_was_sent()) << "the server has done nothing wrong";
        const Outcome& other = outcome(place.message == 1 ? 2 : 1);
        EXPECT_EQ(other.verdict, Verdict::accepted) << "a refusal is of its own message alone";
    }
};

class EveryExtension : public BrokenEverywhere, public testing::WithParamInterface<Course> {};

TEST_P(EveryExtension, GoesWellWhereNothingIsWrong)
{
    converse(GetParam(), {});
    expect_what_always_holds();
    for (std::size_t message = 1; message <= 3; ++message)
        EXPECT_EQ(outcome(message).verdict, Verdict::accepted);
    EXPECT_EQ(model->mails().size(), 3U);
    EXPECT_EQ(model->mails()[1].recipients.size(), GetParam().needs_smtputf8 && !GetParam().offers.smtputf8 ? 1U : 2U);
}

TEST_P(EveryExtension, NothingIsLostDoubledOrMixedUpWhereverTheServerMisbehaves)
{
    break_everywhere(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Courses, EveryExtension, testing::ValuesIn(courses()),
                         [](const auto& course) { return course.param.name; });

class EveryCombination : public BrokenEverywhere, public testing::WithParamInterface<Pipelining> {};

TEST_P(EveryCombination, OfExtensionsLosesDoublesAndMixesUpNothing)
{
    if (std::getenv("MAILROOM_LONG") == nullptr)
        GTEST_SKIP() << "takes half a minute; MAILROOM_LONG=1 runs it";
    for (int bits = 0; bits < 32; ++bits) {
        SCOPED_TRACE("combination " + std::to_string(bits));
        const auto has = [bits](int bit) { return (bits >> bit & 1) == 1; };
        const ModelServer::Offers offers{
            .pipelining = has(0), .size = has(1), .smtputf8 = has(2), .enhanced_status_codes = has(3)};
        break_everywhere({"", offers, GetParam(), has(4)});
    }
}

INSTANTIATE_TEST_SUITE_P(Limits, EveryCombination,
                         testing::Values(Pipelining::never, Pipelining::message, Pipelining::next_message),
                         [](const auto& limit) -> std::string {
                             if (limit.param == Pipelining::never)
                                 return "Never";
                             return limit.param == Pipelining::message ? "Message" : "NextMessage";
                         });

} // namespace
} // namespace mailroom::smtp
