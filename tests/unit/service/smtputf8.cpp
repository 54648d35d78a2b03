// Whether a message takes SMTPUTF8: what its envelope says and what its header really holds must not differ.
#include "service/outgoing.hpp"
#include "tests/unit/service/samples.hpp"
#include "transport/mime/composer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace mailroom {
namespace {

using samples::Kind;

const std::string joerg = "j\xC3\xB6rg@x.de";

struct Mail {
    queue::MessageContent content = samples::content({"bob@x.de"});
    rules::Identity identity = samples::identity();
};

bool has_8_bit_octets(const Mail& mail)
{
    const queue::Claimed claimed = samples::claimed();
    const std::string message_id = "m@x.de";
    const auto message = message_of(claimed, mail.content, mail.identity, message_id).value();
    const mime::Composition composition = mime::compose(message);
    return std::ranges::any_of(composition.pieces, [](const mime::Piece& piece) {
        const auto* octets = std::get_if<std::string>(&piece);
        return octets != nullptr && std::ranges::any_of(*octets, [](char c) { return (c & 0x80) != 0; });
    });
}

std::optional<std::string> told_by_envelope(const Mail& mail)
{
    const auto addressing = addressing_of(mail.content, mail.identity).value();
    const std::optional<MailAddress>& address = addressing.envelope.in_header_beyond_ascii;
    return address ? std::optional(address->str()) : std::nullopt;
}

struct Place {
    std::string name;
    std::function<void(Mail&, const NamedAddress&)> put;
    bool in_header; // as an address
};

std::vector<Place> places()
{
    const auto add = [](Mail& mail, Kind kind, const NamedAddress& who) {
        mail.content.recipients.push_back({kind, who});
    };
    return {
        {"From", [](Mail& mail, const NamedAddress& who) { mail.identity.from = who; }, true},
        {"Sender", [](Mail& mail, const NamedAddress& who) { mail.identity.sender = who.address; }, true},
        {"Reply-To", [](Mail& mail, const NamedAddress& who) { mail.content.reply_to = {who}; }, true},
        {"To", [=](Mail& mail, const NamedAddress& who) { add(mail, Kind::to, who); }, true},
        {"Cc", [=](Mail& mail, const NamedAddress& who) { add(mail, Kind::cc, who); }, true},
        {"Bcc", [=](Mail& mail, const NamedAddress& who) { add(mail, Kind::bcc, who); }, false},
        {"the envelope's sender",
         [](Mail& mail, const NamedAddress& who) { mail.identity.envelope_sender = who.address; }, false},
        {"List-Unsubscribe",
         [](Mail& mail, const NamedAddress& who) {
             mail.content.unsubscribe = {"https://x.de/u", who.address};
         },
         false},
    };
}

TEST(Smtputf8, IsNeededForEveryAddressOfTheHeaderBeyondAsciiAndForNoOther)
{
    for (const Place& place : places()) {
        Mail mail;
        place.put(mail, {samples::header("J\xC3\xB6rg"), samples::address(joerg)});
        EXPECT_EQ(has_8_bit_octets(mail), place.in_header) << place.name;
        EXPECT_EQ(told_by_envelope(mail), place.in_header ? std::optional(joerg) : std::nullopt) << place.name;

        Mail with_a_domain;
        place.put(with_a_domain, {samples::header("J\xC3\xB6rg"), samples::address("joerg@b\xC3\xBC"
                                                                                   "cher.example")});
        EXPECT_FALSE(has_8_bit_octets(with_a_domain)) << place.name;
        EXPECT_EQ(told_by_envelope(with_a_domain), std::nullopt) << place.name;
    }
}

TEST(Smtputf8, IsNeededAlsoWhenOnlyTheOthersAreLeft)
{
    Mail mail;
    mail.content.recipients.push_back(samples::recipient(joerg));
    mail.content.results = {{1, static_cast<int>(rules::RecipientState::accepted)}};
    const auto addressing = addressing_of(mail.content, mail.identity).value();
    ASSERT_EQ(addressing.envelope.recipients.size(), 1U);
    EXPECT_EQ(addressing.envelope.recipients[0].str(), "bob@x.de");
    EXPECT_EQ(told_by_envelope(mail), joerg);
}

} // namespace
} // namespace mailroom
