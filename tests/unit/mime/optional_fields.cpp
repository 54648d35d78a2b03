#include "transport/mime/optional_fields.hpp"

#include "sample.hpp"

#include <gmock/gmock.h>

namespace mailroom::mime {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string priority(Priority priority)
{
    std::string out;
    append_priority(out, priority);
    return out;
}

Unsubscribe unsubscribe(std::string_view url)
{
    return {HttpsUrl::make(url).value(), std::nullopt};
}

std::string written(const Unsubscribe& unsubscribe)
{
    std::string out;
    append_unsubscribe(out, unsubscribe);
    return out;
}

TEST(Priority, IsSaidInTheThreeWaysThatReadersKnow)
{
    EXPECT_EQ(priority(Priority::high), "X-Priority: 1 (Highest)\r\nImportance: high\r\nX-MSMail-Priority: High\r\n");
    EXPECT_EQ(priority(Priority::low), "X-Priority: 5 (Lowest)\r\nImportance: low\r\nX-MSMail-Priority: Low\r\n");
}

TEST(Priority, ThatIsNormalIsNotSaid)
{
    EXPECT_EQ(priority(Priority::normal), "");
}

TEST(Priority, IsHighNormalOrLow)
{
    EXPECT_EQ(priority_from("high").value(), Priority::high);
    EXPECT_EQ(priority_from("normal").value(), Priority::normal);
    EXPECT_EQ(priority_from("low").value(), Priority::low);
    for (const std::string_view bad : {"", "High", "1", "urgent", "high\r\nBcc: x@y"})
        EXPECT_FALSE(priority_from(bad)) << bad;
}

TEST(Unsubscribe, IsALinkThatIsPostedToByOneClick)
{
    EXPECT_EQ(written(unsubscribe("https://shop.example/u?c=4711")),
              "List-Unsubscribe: <https://shop.example/u?c=4711>\r\n"
              "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
}

TEST(Unsubscribe, MayHaveAnAddressBesideTheLink)
{
    Unsubscribe both = unsubscribe("https://shop.example/u");
    both.mailto = address("leave@shop.example");
    EXPECT_THAT(written(both),
                HasSubstr("List-Unsubscribe: <https://shop.example/u>, <mailto:leave@shop.example>\r\n"));
}

TEST(Unsubscribe, NeverFoldsInsideALinkAndKeepsTheLimitOfALine)
{
    const std::string longest = "https://shop.example/" + std::string(HttpsUrl::max_size - 21, 'u');
    Unsubscribe both = unsubscribe(longest);
    both.mailto = address(std::string(64, '%') + "@" + std::string(63, 'd') + "." + std::string(63, 'd') + "." +
                          std::string(61, 'd'));
    const std::string text = written(both);
    EXPECT_THAT(text, HasSubstr("List-Unsubscribe: <" + longest + ">,\r\n <mailto:%25%25"));
    for (const std::string_view line : lines(text))
        EXPECT_LE(line.size(), 998U);
    EXPECT_EQ(lines(text).size(), 3U);
}

TEST(MailtoLink, EncodesWhatMeansSomethingInALink)
{
    EXPECT_EQ(mailto_link(address("a+b.c_d-e~f!g$h'i*j@x.example")), "mailto:a+b.c_d-e~f!g$h'i*j@x.example");
    EXPECT_EQ(mailto_link(address("a&b=c?d/e#f%g@x.example")), "mailto:a%26b%3Dc%3Fd%2Fe%23f%25g@x.example");
    EXPECT_EQ(mailto_link(address("j\xC3\xB6rg@x.example")), "mailto:j%C3%B6rg@x.example");
}

TEST(HttpsUrl, IsALinkThatCannotEndItsHeader)
{
    for (const std::string_view good : {"https://a", "https://shop.example:8443/u/(4711)?c='1'&t=a%2Cb;x=*!$+~#end",
                                        "https://xn--bcher-kva.example/"})
        EXPECT_TRUE(HttpsUrl::make(good)) << good;
    for (const std::string_view bad :
         {"", "https://", "https:///x", "http://shop.example/", "HTTPS://shop.example/", "mailto:a@b.example",
          "https://shop.example/a b", "https://shop.example/>, <http://evil.example/", "https://shop.example/a,b",
          "https://shop.example/[x]", "https://[::1]/", "https://shop.example/\"",
          "https://b\xC3\xBC"
          "cher.example/",
          "https://shop.example/\r\nBcc: x@y", "https://shop.example/\x7F", "https://shop.example/\t"})
        EXPECT_FALSE(HttpsUrl::make(bad)) << bad;
    EXPECT_TRUE(HttpsUrl::make("https://" + std::string(HttpsUrl::max_size - 8, 'x')));
    EXPECT_FALSE(HttpsUrl::make("https://" + std::string(HttpsUrl::max_size - 7, 'x')));
    EXPECT_FALSE(HttpsUrl::make(std::string_view("https://a\0b", 11)));
}

TEST(ProducersHeader, GivesWayToThePriorityAndTheLinkOfTheMessage)
{
    Message both = message();
    for (const char* name :
         {"x-priority", "Importance", "X-MSMail-Priority", "List-Unsubscribe", "list-unsubscribe-post"})
        both.headers.emplace_back(HeaderName::make(name).value(), header_text("mine"));
    EXPECT_THAT(octets(both), HasSubstr("x-priority: mine\r\nImportance: mine\r\nX-MSMail-Priority: mine\r\n"
                                        "List-Unsubscribe: mine\r\nlist-unsubscribe-post: mine\r\n"));
    both.priority = Priority::high;
    both.unsubscribe = unsubscribe("https://shop.example/u");
    EXPECT_THAT(octets(both), Not(HasSubstr("mine")));
    EXPECT_EQ(field(octets(both), "X-Priority"), "X-Priority: 1 (Highest)");
    EXPECT_EQ(field(octets(both), "List-Unsubscribe"), "List-Unsubscribe: <https://shop.example/u>");
}

} // namespace
} // namespace mailroom::mime
