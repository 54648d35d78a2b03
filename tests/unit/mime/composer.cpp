#include "transport/mime/composer.hpp"

#include "sample.hpp"

#include <gmock/gmock.h>

namespace mailroom::mime {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Composer, WritesAPlainMessageAsOnePiece)
{
    Message plain = message();
    plain.text = "Hello\nworld\n";
    EXPECT_EQ(compose(plain).pieces.size(), 1U);
    EXPECT_EQ(octets(plain), "Date: Tue, 01 Dec 2026 09:05:07 +0000\r\n"
                             "From: a@example.com\r\n"
                             "To: b@example.org\r\n"
                             "Subject: Hello\r\n"
                             "Message-ID: <7-42@mail.example.com>\r\n"
                             "Auto-Submitted: auto-generated\r\n"
                             "MIME-Version: 1.0\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "Content-Transfer-Encoding: 7bit\r\n"
                             "\r\n"
                             "Hello\r\n"
                             "world\r\n");
}

TEST(Composer, WritesTextHtmlAnInlineImageAndAFileAsOneTree)
{
    Message all = message();
    all.text = "Hello";
    all.html = "<img src=\"cid:logo@x\">";
    all.attachments = {attachment("a.pdf", "application/pdf", 3), inline_image("logo.png", "logo@x", 60)};
    const std::string written = octets(all);
    EXPECT_EQ(written.substr(written.find("MIME-Version")),
              "MIME-Version: 1.0\r\n"
              "Content-Type: multipart/mixed;\r\n"
              " boundary=\"=_7-42_1\"\r\n"
              "\r\n"
              "--=_7-42_1\r\n"
              "Content-Type: multipart/alternative;\r\n"
              " boundary=\"=_7-42_2\"\r\n"
              "\r\n"
              "--=_7-42_2\r\n"
              "Content-Type: text/plain; charset=utf-8\r\n"
              "Content-Transfer-Encoding: 7bit\r\n"
              "\r\n"
              "Hello\r\n"
              "--=_7-42_2\r\n"
              "Content-Type: multipart/related; type=\"text/html\";\r\n"
              " boundary=\"=_7-42_3\"\r\n"
              "\r\n"
              "--=_7-42_3\r\n"
              "Content-Type: text/html; charset=utf-8\r\n"
              "Content-Transfer-Encoding: 7bit\r\n"
              "\r\n"
              "<img src=\"cid:logo@x\">\r\n"
              "--=_7-42_3\r\n"
              "Content-Type: image/png;\r\n"
              " name=\"logo.png\"\r\n"
              "Content-Transfer-Encoding: base64\r\n"
              "Content-Disposition: inline;\r\n"
              " filename=\"logo.png\"\r\n"
              "Content-ID: <logo@x>\r\n"
              "\r\n" +
                  std::string("eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4") +
                  "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4\r\n"
                  "eHh4\r\n"
                  "\r\n"
                  "--=_7-42_3--\r\n"
                  "\r\n"
                  "--=_7-42_2--\r\n"
                  "\r\n"
                  "--=_7-42_1\r\n"
                  "Content-Type: application/pdf;\r\n"
                  " name=\"a.pdf\"\r\n"
                  "Content-Transfer-Encoding: base64\r\n"
                  "Content-Disposition: attachment;\r\n"
                  " filename=\"a.pdf\"\r\n"
                  "\r\n"
                  "eHh4\r\n"
                  "\r\n"
                  "--=_7-42_1--\r\n");
}

TEST(Composer, WritesTheFieldsInOneOrder)
{
    Message full = message();
    full.from = named("Ann", "a@example.com");
    full.sender = address("robot@example.com");
    full.reply_to = {named("", "r@example.com")};
    full.cc = {named("", "c@example.org"), named("D", "d@example.org")};
    full.headers = {{HeaderName::make("X-One").value(), header_text("1")},
                    {HeaderName::make("X-Two").value(), header_text("2")}};
    const std::string written = octets(full);
    EXPECT_THAT(written, HasSubstr("From: Ann <a@example.com>\r\n"
                                   "Sender: robot@example.com\r\n"
                                   "Reply-To: r@example.com\r\n"
                                   "To: b@example.org\r\n"
                                   "Cc: c@example.org, D <d@example.org>\r\n"
                                   "Subject: Hello\r\n"
                                   "Message-ID: <7-42@mail.example.com>\r\n"
                                   "X-One: 1\r\n"
                                   "X-Two: 2\r\n"
                                   "Auto-Submitted: auto-generated\r\n"
                                   "MIME-Version: 1.0\r\n"));
}

TEST(Composer, LetsTheProducerSayWhoSubmitted)
{
    Message answer = message();
    answer.headers = {{HeaderName::make("auto-submitted").value(), header_text("auto-replied")}};
    EXPECT_EQ(field(octets(answer), "auto-submitted"), "auto-submitted: auto-replied");
    EXPECT_THAT(octets(answer), Not(HasSubstr("auto-generated")));
}

TEST(Composer, LeavesOutProducersHeadersThatWouldContradictItsOwn)
{
    Message forged = message();
    for (const char* name : {"Bcc", "From", "Content-Type", "Message-ID", "return-path"})
        forged.headers.emplace_back(HeaderName::make(name).value(), header_text("forged"));
    EXPECT_THAT(octets(forged), Not(HasSubstr("forged")));
}

TEST(Composer, KeepsTheThreadThatAnAnswerBelongsTo)
{
    Message answer = message();
    answer.headers = {
        {HeaderName::make("In-Reply-To").value(), header_text("<question@erp.example>")},
        {HeaderName::make("References").value(), header_text("<first@erp.example> <question@erp.example>")}};
    EXPECT_EQ(field(octets(answer), "In-Reply-To"), "In-Reply-To: <question@erp.example>");
    EXPECT_EQ(field(octets(answer), "References"), "References: <first@erp.example> <question@erp.example>");
}

// Who gets a copy without the others' knowledge is the envelope's: no member and no header of a Message can say it.
TEST(Composer, WritesABccInNoForm)
{
    Message full = message();
    full.sender = address("robot@example.com");
    full.cc = {named("Bcc: c", "c@example.org")};
    full.reply_to = {named("Bcc", "r@example.com")};
    full.subject = header_text("Bcc: x@example.com");
    full.text = full.html = "Bcc: x@example.com";
    full.priority = Priority::high;
    for (const char* name : {"Bcc", "BCC", "bcc", "Resent-Bcc"})
        full.headers.emplace_back(HeaderName::make(name).value(), header_text("hidden@example.com"));
    const std::string written = octets(full);
    EXPECT_THAT(written, Not(HasSubstr("hidden@example.com")));
    const std::string header = written.substr(0, written.find("\r\n\r\n"));
    for (const std::string_view line : lines(header))
        EXPECT_FALSE(ascii_lower(line.substr(0, line.find(':'))).ends_with("bcc")) << line;
}

TEST(Composer, NamesUndisclosedRecipientsWhereNoneIsShown)
{
    Message hidden = message();
    hidden.to.clear();
    EXPECT_EQ(field(octets(hidden), "To"), "To: undisclosed-recipients:;");
    hidden.cc = {named("", "c@example.org")};
    EXPECT_EQ(field(octets(hidden), "To"), "");
    EXPECT_EQ(field(octets(hidden), "Cc"), "Cc: c@example.org");
}

TEST(Composer, GivesAMessageWithoutContentAnEmptyText)
{
    const std::string written = octets(message());
    EXPECT_EQ(field(written, "Content-Type"), "Content-Type: text/plain; charset=utf-8");
    EXPECT_EQ(body(written), "");
    Message with_file = message();
    with_file.attachments = {attachment("a.pdf", "application/pdf", 1)};
    EXPECT_THAT(octets(with_file), HasSubstr("--=_7-42_1\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                             "Content-Transfer-Encoding: 7bit\r\n\r\n\r\n--=_7-42_1\r\n"));
}

TEST(Composer, EndsALoneTextThatDoesNotEndItsLastLine)
{
    Message open = message();
    open.text = "no end";
    EXPECT_EQ(body(octets(open)), "no end\r\n");
    open.html = "<p>";
    EXPECT_THAT(octets(open), HasSubstr("\r\n\r\nno end\r\n--=_7-42_2\r\n")); // that CRLF is the delimiter's
    open.text = "an end\r\n";
    EXPECT_THAT(octets(open), HasSubstr("\r\n\r\nan end\r\n\r\n--=_7-42_2\r\n"));
}

TEST(Composer, WritesHtmlAloneWithoutAnAlternative)
{
    Message html = message();
    html.html = "<p>é</p>";
    EXPECT_EQ(field(octets(html), "Content-Type"), "Content-Type: text/html; charset=utf-8");
}

TEST(Composer, TakesAnInlineImageWithoutHtmlForAnOrdinaryFile)
{
    Message odd = message();
    odd.text = "x";
    odd.attachments = {inline_image("logo.png", "logo@x", 3)};
    EXPECT_THAT(octets(odd), HasSubstr("multipart/mixed"));
    EXPECT_THAT(octets(odd), HasSubstr("Content-Disposition: attachment;\r\n filename=\"logo.png\"\r\n\r\neHh4"));
    EXPECT_THAT(octets(odd), Not(HasSubstr("Content-ID")));
}

TEST(Composer, GivesAFileWithoutANameOneAndAnInlineImageNone)
{
    Message nameless = message();
    nameless.html = "<p>";
    nameless.attachments = {attachment("", "application/pdf", 3), inline_image("", "logo@x", 3)};
    EXPECT_THAT(octets(nameless), HasSubstr("Content-Disposition: attachment;\r\n filename=\"attachment\"\r\n"));
    EXPECT_THAT(octets(nameless), HasSubstr("Content-Disposition: inline\r\n"));
}

TEST(Composer, NeverSendsACompositeTypeAsBase64)
{
    Message forwarded = message();
    forwarded.attachments = {attachment("old.eml", "Message/RFC822", 3), attachment("x", "multipart/mixed", 3)};
    EXPECT_THAT(octets(forwarded), HasSubstr("Content-Type: application/octet-stream;\r\n name=\"old.eml\"\r\n"));
    EXPECT_THAT(octets(forwarded), HasSubstr("Content-Type: application/octet-stream;\r\n name=\"x\"\r\n"));
}

TEST(Composer, MakesNoPieceOfAnEmptyAttachment)
{
    Message empty = message();
    empty.attachments = {attachment("empty.txt", "text/plain", 0), attachment("more.txt", "text/plain", 0)};
    EXPECT_EQ(compose(empty).pieces.size(), 1U);
    EXPECT_THAT(octets(empty), HasSubstr("filename=\"empty.txt\"\r\n\r\n\r\n--=_7-42_1\r\n"));
}

TEST(Composer, StartsEveryPieceAtTheStartOfALineAndKnowsTheSizeOfAll)
{
    for (std::size_t files = 0; files < 5; ++files) {
        for (const std::string text : {"", "x", "x\n", "日本"}) {
            Message many = message();
            many.text = text;
            many.html = text;
            for (std::size_t i = 0; i < files; ++i) {
                many.attachments.push_back(attachment("f", "image/png", 56 + i));
                many.attachments.push_back(inline_image("i", "id", 113 + i));
            }
            const Composition composition = compose(many);
            EXPECT_EQ(composition.size, octets(many).size());
            EXPECT_EQ(composition.pieces.size(), 4 * files + 1);
            for (const Piece& piece : composition.pieces) {
                const auto* literal = std::get_if<std::string>(&piece);
                EXPECT_TRUE(literal == nullptr || literal->ends_with("\r\n"));
            }
        }
    }
}

TEST(Composer, KnowsItsSizeAndRepeatsItsOctetsWhateverAMessageHas)
{
    for (unsigned which = 0; which < 1U << 8; ++which) {
        const auto has = [&](unsigned bit) { return (which >> bit & 1U) != 0; };
        Message some = message();
        if (has(0))
            some.text = "Grüße\n.\n";
        if (has(1))
            some.html = "<p>日本</p>";
        if (has(2))
            some.calendar = {CalendarMethod::make("REQUEST").value(), "BEGIN:VCALENDAR\nMETHOD:REQUEST\rEND:VCALENDAR"};
        if (has(3))
            some.attachments.push_back(attachment("größe.pdf", "application/pdf", 58));
        if (has(4))
            some.attachments.push_back(inline_image("l.png", "logo@x", 57));
        if (has(5))
            some.unsubscribe = {HttpsUrl::make("https://shop.example/u").value(), address("größe@bücher.example")};
        if (has(6))
            some.priority = Priority::low;
        if (has(7))
            some.sender = address("robot@bücher.example");
        const std::string written = octets(some);
        ASSERT_EQ(compose(some).size, written.size()) << which;
        ASSERT_EQ(octets(some), written) << which;
        ASSERT_TRUE(std::ranges::all_of(written, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) << which;
        ASSERT_THAT(lines(written), testing::Each(testing::SizeIs(testing::Le(78U)))) << which;
    }
}

TEST(Composer, HoldsNoOctetOfTheAttachments)
{
    constexpr std::uint64_t size = 25ULL << 20;
    Message heavy = message();
    heavy.html = "<p>";
    for (int i = 0; i < 50; ++i)
        heavy.attachments.push_back(i % 2 == 0 ? attachment("file.pdf", "application/pdf", size)
                                               : inline_image("image.png", "i" + std::to_string(i), size));
    const Composition composition = compose(heavy);
    std::size_t held = 0;
    for (const Piece& piece : composition.pieces) {
        if (const auto* literal = std::get_if<std::string>(&piece))
            held += literal->capacity();
    }
    EXPECT_LT(held, 64U << 10);
    EXPECT_GT(composition.size, 50 * base64_lines_size(size));
    EXPECT_LT(composition.size, 50 * base64_lines_size(size) + held);
}

TEST(Composer, KnowsTheSizeOfAnAttachmentThatIsLargerThanMemory)
{
    Message large = message();
    large.attachments = {attachment("disk.img", "application/octet-stream", 57ULL << 40)};
    EXPECT_GT(compose(large).size, 78ULL << 40);
    EXPECT_LT(compose(large).size, (78ULL << 40) + 2000);
}

TEST(Composer, GivesTheSameOctetsForTheSameMessageAndOtherBoundariesForAnotherUid)
{
    Message first = message();
    first.text = "x";
    first.html = "y";
    EXPECT_EQ(octets(first), octets(first));
    Message second = first;
    second.uid = "7-43";
    EXPECT_THAT(octets(second), HasSubstr("boundary=\"=_7-43_2\""));
    EXPECT_EQ(octets(second).size(), octets(first).size());
}

TEST(Composer, KeepsAWrongIdFromBecomingAHeaderOrABoundaryOfItsOwn)
{
    Message wrong = message();
    wrong.html = "x";
    wrong.text = "x";
    wrong.uid = "7\"\r\nBcc: x@y";
    wrong.message_id = "7>\r\nBcc: x@y";
    EXPECT_EQ(field(octets(wrong), "Message-ID"), "Message-ID: <7___Bcc:_x@y>");
    EXPECT_EQ(field(octets(wrong), "Bcc"), "");
    EXPECT_THAT(octets(wrong), HasSubstr("boundary=\"=_7___Bcc__x_y_2\""));
    const std::string endless(5000, 'u');
    wrong.uid = endless;
    wrong.message_id = endless;
    for (const std::string_view line : lines(octets(wrong)))
        EXPECT_LE(line.size(), 998U);
    EXPECT_THAT(octets(wrong), HasSubstr("boundary=\"=_" + std::string(60, 'u') + "_2\"")); // at most 70 characters
}

// The types are the guard: what could end a header early cannot be made into a value that a Message takes.
TEST(Composer, CannotBeGivenALineBreakForAHeader)
{
    const std::vector<std::string> evils = {"x\r\nBcc: y@z", "x\nBcc: y@z", "x\rBcc: y@z", std::string("x\0y", 3),
                                            "x\xC2\x85y",    "x\x7Fy",      "x\ty"};
    for (const std::string& evil : evils) {
        EXPECT_FALSE(HeaderText::make(evil));
        EXPECT_FALSE(HeaderName::make(evil));
        EXPECT_FALSE(MediaType::make("text/" + evil));
        EXPECT_FALSE(ContentId::make(evil));
        EXPECT_FALSE(MailAddress::parse(evil + "@example.com"));
        EXPECT_FALSE(MailAddress::parse("x@" + evil + ".com"));
        EXPECT_FALSE(NamedAddress::parse(evil + " <x@example.com>"));
    }
    static_assert(!std::is_constructible_v<HeaderText, std::string>);
    static_assert(!std::is_constructible_v<MailAddress, std::string>);
}

} // namespace
} // namespace mailroom::mime
