#include "config/address.hpp"

#include <gmock/gmock.h>

namespace mailroom {
namespace {

using testing::HasSubstr;

TEST(MailAddress, HasALocalPartAndADomain)
{
    const MailAddress address = MailAddress::parse(" first.last+tag@mail.Example.com\t").value();
    EXPECT_EQ(address.str(), "first.last+tag@mail.Example.com");
    EXPECT_EQ(address.local_part(), "first.last+tag");
    EXPECT_EQ(address.domain(), "mail.Example.com");
    EXPECT_FALSE(address.needs_smtputf8());
}

TEST(MailAddress, TakesEveryCharacterOfAnAtom)
{
    EXPECT_TRUE(MailAddress::parse("!#$%&'*+-/=?^_`{|}~0a@b"));
    EXPECT_TRUE(MailAddress::parse("a@localhost"));
    EXPECT_TRUE(MailAddress::parse("a@1.2-3.x--y"));
}

TEST(MailAddress, RefusesWhatIsMalformed)
{
    for (const std::string_view bad :
         {"",          " ",      "a",     "@",       "a@",      "@b",    "a@b@c",  ".a@b",
          "a.@b",      "a..b@c", "a b@c", "a@b c",   "a@-b",    "a@b-",  "a@b..c", "a@.b",
          "a@b.",      "a@b_c",  "<a@b>", "a,b@c",   "a:b@c",   "a;b@c", "a(b)@c", "a@[192.0.2.1]",
          "\"a b\"@c", "a\\b@c", "a@b>",  "a@b\xC3", "a@b, c@d"})
        EXPECT_FALSE(MailAddress::parse(bad)) << bad;
}

TEST(MailAddress, CannotEndACommandOrAHeaderEarly)
{
    for (int c = 0; c < 0x20; ++c) {
        const std::string control(1, static_cast<char>(c));
        EXPECT_FALSE(MailAddress::parse("a" + control + "b@example.com")) << c;
        EXPECT_FALSE(MailAddress::parse("a@exam" + control + "ple.com")) << c;
    }
    EXPECT_FALSE(MailAddress::parse("a\x7F@example.com"));
    EXPECT_FALSE(MailAddress::parse("a\xC2\x85@example.com"));
}

TEST(MailAddress, KeepsTheLimitsOfRfc5321)
{
    const std::string label(63, 'd');
    EXPECT_TRUE(MailAddress::parse(std::string(64, 'a') + "@b"));
    EXPECT_FALSE(MailAddress::parse(std::string(65, 'a') + "@b"));
    EXPECT_TRUE(MailAddress::parse("a@" + label));
    EXPECT_FALSE(MailAddress::parse("a@" + label + "d"));
    const std::string most = "a@" + label + "." + label + "." + label + "." + std::string(60, 'd');
    ASSERT_EQ(most.size(), MailAddress::max_size);
    EXPECT_TRUE(MailAddress::parse(most));
    EXPECT_FALSE(MailAddress::parse("b" + most));
}

TEST(MailAddress, BeyondAsciiBeforeTheAtNeedsSmtpUtf8)
{
    EXPECT_TRUE(MailAddress::parse("jörg@example.com").value().needs_smtputf8());
    EXPECT_FALSE(MailAddress::parse("a@bücher.example").value().needs_smtputf8()); // its domain goes as A-labels
    EXPECT_FALSE(MailAddress::parse("a@xn--bcher-kva.example").value().needs_smtputf8());
}

TEST(MailAddress, IsTheSameInAnyCaseOfAscii)
{
    EXPECT_EQ(MailAddress::parse("Ann@Example.COM").value(), MailAddress::parse("ann@example.com").value());
    EXPECT_FALSE(MailAddress::parse("ann@example.com").value() == MailAddress::parse("bob@example.com").value());
}

TEST(MailAddress, HasItsDomainInALabelsForMachinesAndAsItWasGivenForPeople)
{
    const MailAddress address = MailAddress::parse(" Jörg@Bücher.example ").value();
    EXPECT_EQ(address.str(), "Jörg@xn--bcher-kva.example");
    EXPECT_EQ(address.written(), "Jörg@Bücher.example");
    EXPECT_EQ(address.local_part(), "Jörg");
    EXPECT_EQ(address.domain(), "xn--bcher-kva.example");
    EXPECT_EQ(to_string(NamedAddress::parse("Jörg <Jörg@Bücher.example>").value()), "Jörg <Jörg@Bücher.example>");
    const MailAddress plain = MailAddress::parse("Ann@A--b.Example.COM").value();
    EXPECT_EQ(plain.str(), "Ann@A--b.Example.COM"); // US-ASCII is left as it is
    EXPECT_EQ(plain.written(), plain.str());
}

TEST(MailAddress, HasTheDomainThatNameServersKnow)
{
    const auto domain = [](std::string_view text) { return std::string(MailAddress::parse(text).value().domain()); };
    EXPECT_EQ(domain("a@straße.example"), "xn--strae-oqa.example"); // IDNA2008: not strasse
    EXPECT_EQ(domain("a@例子.广告"), "xn--fsqu00a.xn--4rr70v");
    EXPECT_EQ(domain("a@παράδειγμα.δοκιμή"), "xn--hxajbheg2az3al.xn--jxalpdlp");
    EXPECT_EQ(domain("a@مثال.إختبار"), "xn--mgbh0fb.xn--kgbechtv");
    EXPECT_EQ(domain("a@MÜLLER.Example"), "xn--mller-kva.example");
    EXPECT_EQ(domain("a@mu\xCC\x88ller.example"), "xn--mller-kva.example"); // u and a combining diaeresis
    EXPECT_EQ(domain("a@例子。测试"), "xn--fsqu00a.xn--0zwm56d");           // the full stop of Chinese keyboards
}

TEST(MailAddress, IsTheSameInEitherFormOfItsDomain)
{
    EXPECT_EQ(MailAddress::parse("a@bücher.example").value(), MailAddress::parse("A@XN--BCHER-KVA.example").value());
    EXPECT_EQ(MailAddress::parse("a@BÜCHER.example").value(), MailAddress::parse("a@bücher.example").value());
    EXPECT_FALSE(MailAddress::parse("a@bücher.example").value() == MailAddress::parse("a@bucher.example").value());
}

TEST(MailAddress, RefusesADomainThatNoNameServerCanKnowAndSaysWhy)
{
    for (const std::string_view bad :
         {"a@\xE2\x98\x83.example", "a@😀.example", "a@ü\xE2\x80\x8D.example", "a@\xCC\x88u.example",
          "a@bücher\xE2\x80\xAE.example", "a@ü／x.example", "a@ü＠x.example", "a@ü_x.example", "a@אa.example",
          "a@-ü.example", "a@ü。。example", "a@xn--ü.example"})
        EXPECT_FALSE(MailAddress::parse(bad)) << bad;
    EXPECT_THAT(
        MailAddress::parse("a@😀.example").error().text,
        HasSubstr("\"a@😀.example\" is not an e-mail address: mail servers know no such domain name (IDNA2008): "));
}

TEST(MailAddress, KeepsTheLimitsInALabelsToo)
{
    const std::string label = "一泯诞天砘震摒荁傌潻蹪宵窤馓曞藍匘爇郶幁細"; // 63 octets, and 68 as an A-label
    ASSERT_EQ(label.size(), 63U);
    EXPECT_FALSE(MailAddress::parse("a@" + label + ".example"));
    std::string domain = "example";
    while (domain.size() + 6 <= MailAddress::max_size - 2)
        domain = "яä." + domain; // 5 octets, and more as an A-label
    EXPECT_FALSE(MailAddress::parse("a@" + domain));
    EXPECT_TRUE(MailAddress::parse("a@яä.яä.example"));
}

TEST(MailAddress, SaysWhatIsWrongAndShowsTheAddressWithoutItsControlCharacters)
{
    EXPECT_EQ(MailAddress::parse("").error().text, "the e-mail address is empty");
    EXPECT_EQ(MailAddress::parse("ann").error().text, "\"ann\" is not an e-mail address: it has no @");
    EXPECT_EQ(MailAddress::parse("a\r\nb").error().text, "\"a??b\" is not an e-mail address: it has no @");
    EXPECT_THAT(MailAddress::parse("a@b_c").error().text, HasSubstr("after the @ is not a domain name"));
    EXPECT_THAT(MailAddress::parse("a\xFF@b").error().text, HasSubstr("not valid UTF-8"));
}

TEST(NamedAddress, IsBareOrHasAName)
{
    EXPECT_EQ(NamedAddress::parse(" a@b ").value(), (NamedAddress{{}, MailAddress::parse("a@b").value()}));
    const NamedAddress ann = NamedAddress::parse("Ann Lee <ann@b>").value();
    EXPECT_EQ(ann.name.str(), "Ann Lee");
    EXPECT_EQ(ann.address.str(), "ann@b");
    EXPECT_EQ(NamedAddress::parse("<ann@b>").value().name.str(), "");
    EXPECT_EQ(NamedAddress::parse("Grüße <ann@b>").value().name.str(), "Grüße");
}

TEST(NamedAddress, TakesTheQuotesOffItsName)
{
    EXPECT_EQ(NamedAddress::parse("\"Lee, Ann\" <ann@b>").value().name.str(), "Lee, Ann");
    EXPECT_EQ(NamedAddress::parse("\"A \\\"B\\\" \\\\\" <ann@b>").value().name.str(), "A \"B\" \\");
    EXPECT_EQ(NamedAddress::parse("\"\" <ann@b>").value().name.str(), "");
    EXPECT_EQ(NamedAddress::parse("\" <ann@b>").value().name.str(), "\"");
}

TEST(NamedAddress, RefusesABrokenAddressOrName)
{
    for (const std::string_view bad : {"", "Ann", "Ann <>", "Ann <ann>", "ann@b>", "Ann <a@b> x", "Ann\r\nBcc: x <a@b>",
                                       "Ann\xFF <a@b>", "a@b, c@d", "Ann <a@b"})
        EXPECT_FALSE(NamedAddress::parse(bad)) << bad;
    EXPECT_THAT(NamedAddress::parse("A\tB <a@b>").error().text, HasSubstr("the name before <a@b>"));
}

TEST(NamedAddress, IsShownToPeopleWithItsName)
{
    EXPECT_EQ(to_string(NamedAddress::parse("Ann <a@b>").value()), "Ann <a@b>");
    EXPECT_EQ(to_string(NamedAddress::parse("a@b").value()), "a@b");
}

} // namespace
} // namespace mailroom
