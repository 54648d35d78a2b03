// What the rows of the decision table do not show: chains of defaults, the order of the steps, relays without login.
#include "tests/unit/rules/samples.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::rules {
namespace {

using samples::answer_of;
using samples::World;
using testing::HasSubstr;

TEST(Account, OfAUserIsTheEmailWhenBlank)
{
    EXPECT_EQ(samples::world().resolve().identity()->account, "anna@erp.example");
}

TEST(Account, IsTrimmed)
{
    World w = samples::world();
    w.anna().account = "  anna-login ";
    EXPECT_EQ(w.resolve().identity()->account, "anna-login");
}

TEST(Account, OnCloudIsTheUserCodeWhenThatIsAnAddressAndThereIsNoEmail)
{
    World w = samples::world();
    w.anna().email = "";
    w.anna().code = "anna@code.example";
    EXPECT_EQ(answer_of(w.resolve()),
              "config_incomplete(user anna@code.example: User; user anna@code.example: \"From\" Address)");
    w.general().edition = Edition::cloud;
    EXPECT_EQ(w.resolve().identity()->account, "anna@code.example");
    EXPECT_EQ(w.resolve().identity()->from.address.str(), "anna@code.example");
}

TEST(Account, IsMissingAndNotTheCodeWhenTheEmailIsMalformed)
{
    World w = samples::world();
    w.general().edition = Edition::cloud;
    w.anna().email = "anna@";
    w.anna().code = "anna@code.example";
    EXPECT_THAT(answer_of(w.resolve()), HasSubstr(": User; "));
}

TEST(Account, ThatIsNoAddressIsALogin)
{
    World w = samples::world();
    w.anna().account = "anna@@broken";
    EXPECT_EQ(w.resolve().identity()->account, "anna@@broken");
    EXPECT_EQ(w.resolve().identity()->from.address.str(),
              "anna@erp.example"); // the account's address is then the email
}

TEST(From, OfAUserWithALoginIsTheEmail)
{
    World w = samples::world();
    w.anna().account = "erp\\anna";
    EXPECT_EQ(answer_of(w.resolve()),
              "send erp\\anna at smtp.erp.example:587/starttls as anna@erp.example envelope anna@erp.example");
}

TEST(From, ThatIsMalformedIsMissingAndNotTheAccountsAddress)
{
    World w = samples::world();
    w.anna().from = "Anna <anna>";
    EXPECT_EQ(answer_of(w.resolve()), "config_incomplete(user ANNA: \"From\" Address)");
}

TEST(From, IsMissingWhenTheEmailThatItWouldDefaultToIsMalformed)
{
    World w = samples::world();
    w.anna().account = "anna";
    w.anna().email = "anna@";
    EXPECT_EQ(answer_of(w.resolve()), "config_incomplete(user ANNA: \"From\" Address)");
}

TEST(From, OfGeneralIsNeverLentToAUser)
{
    World w = samples::world();
    w.general().from = "erp@erp.example";
    w.anna().account = "anna";
    w.anna().email = "";
    EXPECT_EQ(answer_of(w.resolve()), "config_incomplete(user ANNA: \"From\" Address)");
}

TEST(From, OfAnAccountWithoutAnAddressGoesWithoutSender)
{
    World w = samples::world();
    w.facts = samples::mass();
    w.general().account = "mailer";
    EXPECT_EQ(answer_of(w.resolve()),
              "send mailer at smtp.erp.example:587/starttls as invoices@erp.example envelope invoices@erp.example");
}

TEST(Server, OfAUserWithAModeOfItsOwnIsNeverInherited)
{
    World w = samples::world();
    w.anna().mode = Mode::smtp;
    EXPECT_EQ(answer_of(w.resolve()), "config_incomplete(user ANNA: Server Name)");
}

TEST(Server, IsInheritedAsOneGroup)
{
    World w = samples::world();
    w.general().server.port = *Port::make(465);
    w.general().server.login = false;
    w.general().user_server.host = "users.example";
    EXPECT_EQ(answer_of(w.resolve()),
              "send anna@erp.example at users.example:587/starttls as anna@erp.example envelope anna@erp.example");
}

TEST(Server, ForUsersIsNotLookedAtForTheSharedAccount)
{
    World w = samples::world();
    w.facts = samples::mobile();
    w.general().user_server = samples::server("users.example");
    w.general().user_server.use_ssl = false;
    EXPECT_EQ(w.resolve().identity()->host, "smtp.erp.example");
}

TEST(Server, SecurityFollowsSslAndPort)
{
    World w = samples::world();
    w.general().server.allow_cleartext = true;
    const auto security = [&](bool use_ssl, int port) {
        w.general().server.use_ssl = use_ssl;
        w.general().server.port = *Port::make(port);
        return w.resolve().identity()->security;
    };
    EXPECT_EQ(security(true, 465), Security::implicit_tls);
    EXPECT_EQ(security(true, 587), Security::starttls);
    EXPECT_EQ(security(true, 25), Security::starttls);
    EXPECT_EQ(security(false, 25), Security::none);
    EXPECT_EQ(security(false, 465), Security::none);
}

TEST(Relay, WithoutLoginNeedsNoAccountAndNoPassword)
{
    World w = samples::world();
    w.facts = samples::mass();
    w.general().server.login = false;
    w.general().server.use_ssl = false; // no password travels
    w.general().account = "";
    w.general().password = {};
    EXPECT_EQ(answer_of(w.resolve()),
              "send - at smtp.erp.example:587/none as invoices@erp.example envelope invoices@erp.example");
}

TEST(Relay, WithoutLoginUsesNoStoredPasswordAndNoOldRefusalHolds)
{
    World w = samples::world();
    w.general().server.login = false;
    w.knowledge.refused_logins[Owner::user(samples::anna_id)] = HoldReason::auth_failed;
    w.knowledge.key_missing = true;
    const Decision decision = w.resolve();
    ASSERT_TRUE(decision.identity());
    EXPECT_EQ(decision.identity()->password, nullptr);
    EXPECT_EQ(decision.identity()->account, "");
}

TEST(Relay, WithoutLoginStillTakesTheAccountsAddress)
{
    World w = samples::world();
    w.facts = samples::mass();
    w.general().server.login = false;
    EXPECT_EQ(answer_of(w.resolve()),
              "send - at smtp.erp.example:587/starttls as invoices@erp.example sender mailer@erp.example "
              "envelope mailer@erp.example");
}

TEST(Relay, WithoutLoginStillNeedsAFrom)
{
    World w = samples::world();
    w.facts = samples::mobile();
    w.general().server.login = false;
    w.general().account = "";
    EXPECT_EQ(answer_of(w.resolve()), "config_incomplete(general: \"From\" Address)");
}

TEST(Relay, WithoutAccountIsPairedByItsServersName)
{
    World w = samples::world();
    w.facts = samples::mass();
    w.general().server.login = false;
    w.general().account = "";
    w.knowledge.refused_pairs = {{Mode::smtp, "smtp.erp.example", *MailAddress::parse("invoices@erp.example")}};
    EXPECT_EQ(w.resolve().table_row, "M9");
}

TEST(Steps, WhatIsMissingComesBeforeClearTextAndThatBeforeARefusedLoginAndThatBeforeARefusedPair)
{
    World w = samples::world();
    w.general().server.use_ssl = false;
    w.anna().password = {};
    w.knowledge.refused_logins[Owner::user(samples::anna_id)] = HoldReason::auth_failed;
    w.knowledge.refused_pairs = {{Mode::smtp, "anna@erp.example", *MailAddress::parse("anna@erp.example")}};
    w.knowledge.key_missing = true;
    EXPECT_EQ(w.resolve().hold()->reason, HoldReason::config_incomplete);
    w.anna().password = SealedSecret{2};
    EXPECT_EQ(w.resolve().hold()->reason, HoldReason::cleartext_password);
    w.general().server.allow_cleartext = true;
    EXPECT_EQ(w.resolve().hold()->reason, HoldReason::auth_failed);
    w.knowledge.refused_logins.clear();
    EXPECT_EQ(w.resolve().hold()->reason, HoldReason::send_as_denied);
    w.knowledge.refused_pairs.clear();
    EXPECT_EQ(w.resolve().hold()->reason, HoldReason::key_missing);
    w.knowledge.key_missing = false;
    EXPECT_TRUE(w.resolve().identity());
}

TEST(Steps, AnotherOwnersRefusedLoginHoldsNobody)
{
    World w = samples::world();
    w.knowledge.refused_logins[Owner::general()] = HoldReason::auth_failed;
    w.knowledge.refused_logins[Owner::user(99)] = HoldReason::auth_failed;
    EXPECT_TRUE(w.resolve().identity());
}

TEST(PostingUser, WhoWasUnknownWhenTheMessageWasEnqueuedIsFoundOnceMade)
{
    World w = samples::world();
    w.facts.user = {};
    w.facts.user_code = " ANNA ";
    EXPECT_EQ(w.resolve().table_row, "S12");
    w.facts.user_code = "anna"; // codes match exactly
    EXPECT_EQ(w.resolve().table_row, "S1");
}

TEST(PostingUser, WhoWasDeletedIsNotReplacedByAnotherOfTheSameCode)
{
    World w = samples::world();
    w.facts.user = 11; // ANNA, before she was deleted and made anew as number 12
    EXPECT_EQ(answer_of(w.resolve()), "no_user(user ANNA: deleted)");
}

TEST(Identity, TellsWhoseAccountAndWhoseSecretItIs)
{
    World w = samples::world();
    const Decision mine = w.resolve();
    EXPECT_EQ(mine.identity()->owner, Owner::user(samples::anna_id));
    EXPECT_EQ(mine.identity()->password_owner, Owner::user(samples::anna_id));
    EXPECT_EQ(mine.identity()->owner_code, "ANNA");
    EXPECT_EQ(mine.identity()->password, &*w.anna().password);
    w.facts = samples::mass();
    const Decision shared = w.resolve();
    EXPECT_EQ(shared.identity()->owner, Owner::general());
    EXPECT_EQ(shared.identity()->password, &*w.general().password);
}

TEST(Identity, WhatTheServerRefusedIsWhatTheSettingsSayFromThenOn)
{
    World w = samples::world();
    w.facts = samples::mass();
    const Decision before = w.resolve();
    w.knowledge.refused_pairs = {pair_of(*before.identity())};
    EXPECT_EQ(*w.resolve().hold(), refused_sender(*before.identity()));
    w.knowledge.refused_logins[before.identity()->owner] = HoldReason::auth_failed;
    EXPECT_EQ(*w.resolve().hold(), refused_login(*before.identity(), HoldReason::auth_failed));
}

TEST(Identity, OncePinnedIsHeldWhenTheSettingsGiveAnother)
{
    World w = samples::world();
    const Decision decision = w.resolve();
    const PinnedIdentity pinned{decision.identity()->from, decision.identity()->sender};
    EXPECT_FALSE(identity_changed(pinned, *decision.identity()));
    w.anna().from = "sales@erp.example";
    const Decision now = w.resolve();
    const auto hold = identity_changed(pinned, *now.identity());
    ASSERT_TRUE(hold);
    EXPECT_EQ(describe(*hold),
              "identity_changed(message: anna@erp.example; message: sales@erp.example (Sender anna@erp.example))");
    w.anna().send_as = true;
    const PinnedIdentity with_sender{now.identity()->from, now.identity()->sender};
    EXPECT_TRUE(identity_changed(with_sender, *w.resolve().identity())); // the Sender alone
}

} // namespace
} // namespace mailroom::rules
