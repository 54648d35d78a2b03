#include "sample.hpp"
#include "transport/mime/composer.hpp"

#include <gmock/gmock.h>

namespace mailroom::mime {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view invitation = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n";

Message invited()
{
    Message result = message();
    result.calendar = {CalendarMethod::make("REQUEST").value(), invitation};
    return result;
}

TEST(CalendarMethod, IsOneOfRfc5546InAnyCase)
{
    for (const std::string_view good :
         {"PUBLISH", "REQUEST", "REPLY", "ADD", "CANCEL", "REFRESH", "COUNTER", "DECLINECOUNTER"})
        EXPECT_EQ(CalendarMethod::make(good).value().str(), good);
    EXPECT_EQ(CalendarMethod::make("request").value().str(), "REQUEST");
    for (const std::string_view bad : {"", "INVITE", "REQUEST ", "REQUEST; x=y", "REQUEST\r\nBcc: x@y"})
        EXPECT_FALSE(CalendarMethod::make(bad)) << bad;
}

// What Outlook, Gmail and phones take for an invitation: the last alternative, with the method; and a file for others.
TEST(Calendar, IsTheLastAlternativeAndAFileOfTheSameOctets)
{
    Message full = invited();
    full.text = "text";
    full.html = "html";
    full.attachments = {inline_image("logo.png", "logo@x", 3), attachment("a.pdf", "application/pdf", 3)};
    const std::string written = octets(full);
    EXPECT_THAT(written, HasSubstr("--=_7-42_3--\r\n"
                                   "\r\n"
                                   "--=_7-42_2\r\n"
                                   "Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n"
                                   "Content-Transfer-Encoding: 7bit\r\n"
                                   "\r\n"
                                   "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
                                   "\r\n"
                                   "--=_7-42_2--\r\n"
                                   "\r\n"
                                   "--=_7-42_1\r\n"
                                   "Content-Type: application/pdf;\r\n"));
    EXPECT_THAT(written, EndsWith("eHh4\r\n"
                                  "\r\n"
                                  "--=_7-42_1\r\n"
                                  "Content-Type: application/ics;\r\n"
                                  " name=\"invite.ics\"\r\n"
                                  "Content-Transfer-Encoding: base64\r\n"
                                  "Content-Disposition: attachment;\r\n"
                                  " filename=\"invite.ics\"\r\n"
                                  "\r\n"
                                  "QkVHSU46VkNBTEVOREFSDQpNRVRIT0Q6UkVRVUVTVA0KRU5EOlZDQUxFTkRBUg0K\r\n"
                                  "\r\n"
                                  "--=_7-42_1--\r\n"));
}

TEST(Calendar, StandsBesideWhateverTextThereIs)
{
    Message html = invited();
    html.html = "html";
    EXPECT_THAT(octets(html), HasSubstr("Content-Type: multipart/alternative;\r\n boundary=\"=_7-42_2\"\r\n"
                                        "\r\n--=_7-42_2\r\nContent-Type: text/html"));
    EXPECT_THAT(octets(html), Not(HasSubstr("text/plain")));
    EXPECT_THAT(octets(invited()), HasSubstr("--=_7-42_2\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                             "Content-Transfer-Encoding: 7bit\r\n\r\n\r\n--=_7-42_2\r\n"
                                             "Content-Type: text/calendar"));
}

TEST(Calendar, OfOtherScriptsIsEncodedAndItsSizeIsExact)
{
    for (const std::string content :
         {"BEGIN:VCALENDAR\r\nSUMMARY:Gr\xC3\xBC\xC3\x9F"
          "e aus der Agentur\r\nEND:VCALENDAR",
          "BEGIN:VCALENDAR\nSUMMARY:\xE6\x97\xA5\xE6\x9C\xAC\xE6\x97\xA5\xE6\x9C\xAC\rEND:VCALENDAR", "--=_7-42_2--",
          ""}) {
        Message other = invited();
        other.calendar->content = content;
        const std::string written = octets(other);
        EXPECT_EQ(compose(other).size, written.size());
        EXPECT_TRUE(std::ranges::all_of(written, [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
        EXPECT_EQ(octets(other), written);
    }
}

} // namespace
} // namespace mailroom::mime
