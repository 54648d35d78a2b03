// The decision table of docs/rules.md, one case or more for each row.
#include "tests/unit/rules/samples.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <ostream>
#include <vector>

namespace mailroom::rules {
namespace {

using samples::World;

struct TableCase {
    std::string name; // of the test: the row and what is tried
    std::function<void(World&)> arrange;
    std::string row;
    std::string answer;
};

void PrintTo(const TableCase& table_case, std::ostream* out)
{
    *out << table_case.name;
}

class DecisionTable : public testing::TestWithParam<TableCase> {};

TEST_P(DecisionTable, Row)
{
    World world = samples::world();
    GetParam().arrange(world);
    const Decision decision = world.resolve();
    EXPECT_EQ(decision.table_row, GetParam().row);
    EXPECT_EQ(samples::answer_of(decision), GetParam().answer);
}

// A process that carries everything, with an account of Office 365 that has signed in.
AccountStatus& signed_in(World& w, const Owner& owner, const char* mailbox = nullptr)
{
    w.knowledge.carries = {true, true};
    AccountStatus& status = w.knowledge.accounts[owner];
    status.state = AccountState::authenticated;
    if (mailbox != nullptr)
        status.mailbox = *MailAddress::parse(mailbox);
    return status;
}

AccountStatus& anna_signed_in(World& w, const char* mailbox = nullptr)
{
    w.anna().mode = Mode::office365;
    return signed_in(w, Owner::user(samples::anna_id), mailbox);
}

AccountStatus& general_signed_in(World& w, const char* mailbox = nullptr)
{
    w.general().mode = Mode::office365;
    return signed_in(w, Owner::general(), mailbox);
}

DesktopAgent& annas_agent(World& w, DesktopAgent::Outlook outlook = DesktopAgent::Outlook::classic)
{
    w.knowledge.carries = {true, true};
    DesktopAgent& agent = w.knowledge.agents[samples::anna_id];
    agent.outlook = outlook;
    return agent;
}

void names_a_blank_row(World& w)
{
    w.facts.row = samples::row_id;
    w.row().from = "";
}

const std::string anna_sends =
    "send anna@erp.example at smtp.erp.example:587/starttls as anna@erp.example envelope anna@erp.example";
const std::string general_sends = "send mailer@erp.example at smtp.erp.example:587/starttls as ";

std::vector<TableCase> standard_rows()
{
    return {
        {"S1_NobodyNamed", [](World& w) { w.facts = Facts{}; }, "S1", "no_user(user: none named)"},
        {"S1_Unknown", [](World& w) { w.facts.user = {}, w.facts.user_code = "BORIS"; }, "S1",
         "no_user(user BORIS: unknown)"},
        {"S1_Disabled", [](World& w) { w.anna().enabled = false; }, "S1", "no_user(user ANNA: disabled)"},
        {"S1_Deleted", [](World& w) { w.facts.user = 99; }, "S1", "no_user(user ANNA: deleted)"},
        {"S2_Inherited", [](World& w) { w.general().default_user_mode = Mode::not_configured; }, "S2",
         "mode_not_configured(general: Default Mailing Mode for Users)"},
        {"S3_Own", [](World& w) { w.anna().mode = Mode::outlook, w.anna().email = "", w.anna().password = {}; }, "S3",
         "waiting_desktop(user ANNA)"},
        {"S3_Inherited", [](World& w) { w.general().default_user_mode = Mode::outlook; }, "S3",
         "waiting_desktop(user ANNA)"},
        {"S3_HandedOver", [](World& w) { w.anna().mode = Mode::outlook, w.anna().from = "@", annas_agent(w); }, "S3",
         "hand over outlook of ANNA as its default"},
        {"S3_NoClassicOutlook",
         [](World& w) { w.anna().mode = Mode::outlook, annas_agent(w, DesktopAgent::Outlook::none); }, "S3",
         "no_classic_outlook(user ANNA)"},
        {"S3_OnlyTheNewOutlook",
         [](World& w) { w.anna().mode = Mode::outlook, annas_agent(w, DesktopAgent::Outlook::only_new); }, "S3",
         "no_classic_outlook(user ANNA: only the new Outlook is there)"},
        {"S3_NothingHereCarriesIt",
         [](World& w) { w.anna().mode = Mode::outlook, annas_agent(w), w.knowledge.carries = {}; }, "S3",
         "waiting_desktop(user ANNA)"},
        {"S4_Own", [](World& w) { w.general().edition = Edition::cloud, w.anna().mode = Mode::outlook; }, "S4",
         "mode_unavailable_on_cloud(user ANNA: Mailing Mode)"},
        {"S4_Inherited",
         [](World& w) { w.general().edition = Edition::cloud, w.general().default_user_mode = Mode::other_client; },
         "S4", "mode_unavailable_on_cloud(general: Default Mailing Mode for Users)"},
        {"S5_OtherClient", [](World& w) { w.anna().mode = Mode::other_client; }, "S5", "waiting_desktop(user ANNA)"},
        {"S5_HandedOverWhateverOutlookIs",
         [](World& w) { w.anna().mode = Mode::other_client, annas_agent(w, DesktopAgent::Outlook::none); }, "S5",
         "hand over other_client of ANNA as its default"},
        {"S6_AccountBlankEvenIfSignedIn", [](World& w) { anna_signed_in(w), w.anna().email = "", w.anna().from = "@"; },
         "S6", "config_incomplete(user ANNA: Email)"},
        {"S6_FromMissingOnceSignedIn", [](World& w) { anna_signed_in(w), w.anna().from = "@"; }, "S6",
         "config_incomplete(user ANNA: \"From\" Address)"},
        {"S6_NoMailboxAndNoAddress",
         [](World& w) { anna_signed_in(w), w.anna().email = "@", w.anna().account = "anna"; }, "S6",
         "config_incomplete(user ANNA: \"From\" Address)"},
        {"S6_BeforeTheConsent",
         [](World& w) { anna_signed_in(w).lacks_sending_for_others = true, w.anna().from = "@"; }, "S6",
         "config_incomplete(user ANNA: \"From\" Address)"},
        {"S6_AccountBlankNamedAlone", [](World& w) { w.anna().mode = Mode::office365, w.anna().email = ""; }, "S6",
         "config_incomplete(user ANNA: Email)"},
        {"S7_NeverSignedIn", [](World& w) { w.anna().mode = Mode::office365; }, "S7", "auth_required(user ANNA)"},
        {"S7_FromIsOfNoInterestBefore", [](World& w) { w.anna().mode = Mode::office365, w.anna().from = "@"; }, "S7",
         "auth_required(user ANNA)"},
        {"S7_SignInFailed", [](World& w) { anna_signed_in(w).state = AccountState::sign_in_failed; }, "S7",
         "auth_required(user ANNA)"},
        {"S7_Declined", [](World& w) { anna_signed_in(w).state = AccountState::declined; }, "S7",
         "auth_required(user ANNA)"},
        {"S7_AnotherAccountSignedIn", [](World& w) { anna_signed_in(w).account = "ben@erp.example"; }, "S7",
         "auth_required(user ANNA)"},
        {"S7_AnotherMailboxSignedIn", [](World& w) { anna_signed_in(w, "ben@erp.example").aliases.emplace(); }, "S7",
         "auth_required(user ANNA)"},
        {"S8_ApprovalNeeded",
         [](World& w) { anna_signed_in(w).state = AccountState::approval_required, w.anna().from = "@"; }, "S8",
         "admin_approval_required(user ANNA)"},
        {"S9_Revoked", [](World& w) { anna_signed_in(w).state = AccountState::revoked; }, "S9",
         "auth_required(user ANNA)"},
        {"S9_IdleTooLong", [](World& w) { anna_signed_in(w).state = AccountState::idle; }, "S9",
         "auth_required(user ANNA)"},
        {"S10_Plain", [](World& w) { anna_signed_in(w).lacks_sending_for_others = true; }, "S10",
         "send office365 anna@erp.example as anna@erp.example"},
        {"S10_TheMailboxIsTheAccountsAddress",
         [](World& w) {
             anna_signed_in(w, "a.smith@erp.example").aliases = {{*MailAddress::parse("Anna@erp.example")}};
         },
         "S10", "send office365 anna@erp.example as a.smith@erp.example"},
        {"S10_AnotherFrom", [](World& w) { anna_signed_in(w), w.anna().from = "Sales <sales@erp.example>"; }, "S10",
         "send office365 anna@erp.example as Sales <sales@erp.example>"},
        {"S10_ConsentMissing",
         [](World& w) { anna_signed_in(w).lacks_sending_for_others = true, w.anna().from = "sales@erp.example"; },
         "S10", "consent_missing(user ANNA)"},
        {"S10_AnOldRefusedLoginIsOfSmtp",
         [](World& w) {
             anna_signed_in(w);
             w.knowledge.refused_logins[Owner::user(samples::anna_id)] = HoldReason::basic_login_ended;
         },
         "S10", "send office365 anna@erp.example as anna@erp.example"},
        {"S10_NothingHereCarriesIt", [](World& w) { anna_signed_in(w), w.knowledge.carries = {}; }, "S10",
         "auth_required(user ANNA)"},
        {"S15_PairRefusedByTheTenant",
         [](World& w) {
             anna_signed_in(w);
             w.anna().from = "sales@erp.example";
             w.knowledge.refused_pairs = {
                 {Mode::office365, "anna@erp.example", *MailAddress::parse("sales@erp.example")}};
         },
         "S15", "send_as_denied(user ANNA: anna@erp.example; user ANNA: sales@erp.example)"},
        {"S10_ThePairOfAnotherMode",
         [](World& w) {
             anna_signed_in(w);
             w.knowledge.refused_pairs = {{Mode::smtp, "anna@erp.example", *MailAddress::parse("anna@erp.example")}};
         },
         "S10", "send office365 anna@erp.example as anna@erp.example"},
        {"S11_Plain",
         [](World& w) { w.anna().mode = Mode::smtp, w.anna().server = samples::server("own.example", 465); }, "S11",
         "send anna@erp.example at own.example:465/tls as anna@erp.example envelope anna@erp.example"},
        {"S11_AnotherFrom",
         [](World& w) {
             w.anna().mode = Mode::smtp;
             w.anna().server = samples::server("own.example");
             w.anna().from = "Sales <sales@erp.example>";
         },
         "S11",
         "send anna@erp.example at own.example:587/starttls as Sales <sales@erp.example> sender anna@erp.example "
         "envelope "
         "anna@erp.example"},
        {"S12_GeneralsServer", [](World&) {}, "S12", anna_sends},
        {"S12_UsersServer", [](World& w) { w.general().user_server = samples::server("users.example", 465); }, "S12",
         "send anna@erp.example at users.example:465/tls as anna@erp.example envelope anna@erp.example"},
        {"S12_WhateverGeneralsModeIs", [](World& w) { w.general().mode = Mode::office365; }, "S12", anna_sends},
        {"S13_AllMissingAtOnce",
         [](World& w) {
             w.anna().mode = Mode::smtp;
             w.anna().email = "";
             w.anna().password = {};
         },
         "S13",
         "config_incomplete(user ANNA: Server Name; user ANNA: User; user ANNA: Password; user ANNA: \"From\" "
         "Address)"},
        {"S13_InheritedServerIsGenerals", [](World& w) { w.general().server.host = " ", w.anna().password = {}; },
         "S13", "config_incomplete(general: Server Name; user ANNA: Password)"},
        {"S13_ClearText", [](World& w) { w.general().server.use_ssl = false; }, "S13",
         "cleartext_password(general: Use SSL Encoding)"},
        {"S13_ClearTextOfOnesOwn",
         [](World& w) {
             w.anna().mode = Mode::smtp;
             w.anna().server = samples::server("own.example");
             w.anna().server.use_ssl = false;
         },
         "S13", "cleartext_password(user ANNA: Use SSL Encoding)"},
        {"S13_ClearTextOfUsersServer",
         [](World& w) {
             w.general().user_server = samples::server("users.example");
             w.general().user_server.use_ssl = false;
             w.general().server.allow_cleartext = true; // goes with its own server
         },
         "S13", "cleartext_password(general: Use SSL Encoding (server for users))"},
        {"S14_LoginRefused",
         [](World& w) { w.knowledge.refused_logins[Owner::user(samples::anna_id)] = HoldReason::auth_failed; }, "S14",
         "auth_failed(user ANNA)"},
        {"S14_BasicLoginEnded",
         [](World& w) { w.knowledge.refused_logins[Owner::user(samples::anna_id)] = HoldReason::basic_login_ended; },
         "S14", "basic_login_ended(user ANNA)"},
        {"S15_PairRefused",
         [](World& w) {
             w.anna().from = "sales@erp.example";
             w.knowledge.refused_pairs = {{Mode::smtp, "anna@erp.example", *MailAddress::parse("SALES@erp.example")}};
         },
         "S15", "send_as_denied(user ANNA: anna@erp.example; user ANNA: sales@erp.example)"},
        {"S15_OtherFromsGoOn",
         [](World& w) {
             w.knowledge.refused_pairs = {{Mode::smtp, "anna@erp.example", *MailAddress::parse("sales@erp.example")}};
         },
         "S12", anna_sends},
        {"S12_KeyMissing", [](World& w) { w.knowledge.key_missing = true; }, "S12", "key_missing(general)"},
        {"S12_SealedWithAnotherKey",
         [](World& w) { w.knowledge.sealed_otherwise.emplace(Owner::user(samples::anna_id), "another key"); }, "S12",
         "key_missing(general)"},
        {"S12_OnlyGeneralsPasswordIsSealedWithAnotherKey",
         [](World& w) { w.knowledge.sealed_otherwise.emplace(Owner::general(), "another key"); }, "S12", anna_sends},
        {"M1_Sends", [](World& w) { names_a_blank_row(w); }, "M1/S12", anna_sends},
        {"M1_WhateverTheRowsModeIs",
         [](World& w) {
             names_a_blank_row(w);
             w.row().mode = LinkMode::outlook;
         },
         "M1/S12", anna_sends},
        {"M1_EvenIfTheRowHasAnAddressNow", [](World& w) { w.facts.row = samples::row_id; }, "M1/S12", anna_sends},
        {"M1_EvenIfTheRowIsGone", [](World& w) { w.facts.row = 99; }, "M1/S12", anna_sends},
        {"M1_Holds", [](World& w) { names_a_blank_row(w), w.anna().enabled = false; }, "M1/S1",
         "no_user(user ANNA: disabled)"},
        {"D1_Sends", [](World& w) { w.facts.model = samples::model_id, w.model().from = ""; }, "D1/S12", anna_sends},
        {"D1_Holds", [](World& w) { w.facts.model = samples::model_id, w.anna().password = {}; }, "D1/S13",
         "config_incomplete(user ANNA: Password)"},
    };
}

// The same for Rows (M) and Models (D).
struct Linked {
    std::string letter;
    Facts facts;
    DocumentKind& (World::*kind)();
    std::string subject; // row INV
    std::string label;
    std::string address;
};

std::vector<TableCase> linked_rows(const Linked& linked)
{
    std::vector<TableCase> cases;
    const std::string& m = linked.letter;
    const auto add = [&](std::string name, std::string row, std::string answer,
                         std::function<void(World&, DocumentKind&)> spoil) {
        const auto arrange = [linked, spoil](World& w) {
            w.facts = linked.facts;
            spoil(w, (w.*linked.kind)());
        };
        cases.push_back({m + name, arrange, m + row, std::move(answer)});
    };
    const auto on_desktop = [](World& w, DocumentKind& kind) {
        kind.mode = LinkMode::outlook;
        w.facts.user = samples::anna_id;
    };
    const std::string incomplete_address = "config_incomplete(" + linked.subject + ": " + linked.label + ")";
    const std::string as_linked =
        general_sends + linked.address + " sender mailer@erp.example envelope mailer@erp.example";
    const Owner general = Owner::general();

    add("2_Empty", "2", "mode_not_configured(" + linked.subject + ": Mailing Mode)",
        [](World&, DocumentKind& kind) { kind.mode = LinkMode::not_configured; });
    add("3_NoAgent", "3", "waiting_desktop(user ANNA)", on_desktop);
    add("3_UsersModeIsNotLookedAt", "3", "waiting_desktop(user ANNA)", [&](World& w, DocumentKind& kind) {
        kind.mode = LinkMode::outlook;
        w.facts.user = samples::anna_id;
        w.anna().mode = Mode::office365;
    });
    add("3_MalformedAddressComesFirst", "3", incomplete_address, [](World& w, DocumentKind& kind) {
        kind.mode = LinkMode::outlook;
        kind.from = "nobody";
        w.facts.user = {};
    });
    add("3_NoUsableUser", "3", "no_user(user ANNA: disabled)", [](World& w, DocumentKind& kind) {
        kind.mode = LinkMode::outlook;
        w.facts.user = samples::anna_id;
        w.anna().enabled = false;
    });
    const auto with_agent = [=](World& w, DocumentKind& kind, DesktopAgent::Outlook outlook, bool is_linked) {
        on_desktop(w, kind);
        annas_agent(w, outlook).accounts = {{*MailAddress::parse("own@erp.example"), false},
                                            {*MailAddress::parse(kind.from), is_linked}};
    };
    using Outlook = DesktopAgent::Outlook;
    add("3_HandedOver", "3", "hand over outlook of ANNA as " + linked.address,
        [=](World& w, DocumentKind& kind) { with_agent(w, kind, Outlook::classic, false); });
    add("3_LinkedAccountDoesNotCount", "3", "outlook_account_missing(user ANNA: " + linked.address + ")",
        [=](World& w, DocumentKind& kind) { with_agent(w, kind, Outlook::classic, true); });
    add("3_NoSuchAccount", "3", "outlook_account_missing(user ANNA: " + linked.address + ")",
        [=](World& w, DocumentKind& kind) { on_desktop(w, kind), annas_agent(w); });
    add("3_OnlyTheNewOutlook", "3", "no_classic_outlook(user ANNA: only the new Outlook is there)",
        [=](World& w, DocumentKind& kind) { with_agent(w, kind, Outlook::only_new, false); });
    add("4_Cloud", "4", "mode_unavailable_on_cloud(" + linked.subject + ": Mailing Mode)",
        [](World& w, DocumentKind& kind) {
            kind.mode = LinkMode::outlook;
            w.general().edition = Edition::cloud;
        });
    add("5_GeneralNotConfigured", "5", "mode_not_configured(general: Mailing Mode)",
        [](World& w, DocumentKind&) { w.general().mode = Mode::not_configured; });
    add("6_AnotherFrom", "6", as_linked, [](World&, DocumentKind&) {});
    add("6_NamedFrom", "6",
        general_sends + "Billing <" + linked.address + "> sender mailer@erp.example envelope mailer@erp.example",
        [](World&, DocumentKind& kind) { kind.from = "Billing <" + kind.from + ">"; });
    add("6_AccountsOwnAddress", "6", general_sends + "Mailer@ERP.example envelope Mailer@ERP.example",
        [](World&, DocumentKind& kind) { kind.from = "Mailer@ERP.example"; });
    add("6_SendAs", "6", general_sends + linked.address + " envelope " + linked.address,
        [](World& w, DocumentKind&) { w.general().send_as = true; });
    add("6_GeneralsFromIsNotLookedAt", "6", as_linked, [](World& w, DocumentKind&) { w.general().from = "@"; });
    add("8_Incomplete", "8",
        "config_incomplete(general: Server Name; general: User; general: Password; " + linked.subject + ": " +
            linked.label + ")",
        [](World& w, DocumentKind& kind) {
            w.general().server.host = "";
            w.general().account = "";
            w.general().password = {};
            kind.from = "nobody";
        });
    add("8_MalformedAddress", "8", incomplete_address, [](World&, DocumentKind& kind) { kind.from = "nobody"; });
    add("8_MalformedAddressBeforeTheSignIn", "8", incomplete_address, [](World& w, DocumentKind& kind) {
        kind.from = "nobody";
        w.general().mode = Mode::office365;
    });
    add("8_MailboxBlank", "8", "config_incomplete(general: Email)",
        [](World& w, DocumentKind&) { w.general().mode = Mode::office365, w.general().account = ""; });
    add("8_NeverSignedIn", "8", "auth_required(general)",
        [](World& w, DocumentKind&) { w.general().mode = Mode::office365; });
    add("7_Sends", "7", "send office365 mailer@erp.example as " + linked.address,
        [](World& w, DocumentKind&) { general_signed_in(w); });
    add("7_ConsentOfNoInterest", "7", "send office365 mailer@erp.example as Office@ERP.example",
        [](World& w, DocumentKind& kind) {
            general_signed_in(w, "office@erp.example").lacks_sending_for_others = true;
            kind.from = "Office@ERP.example";
        });
    add("8_ConsentMissing", "8", "consent_missing(general)",
        [](World& w, DocumentKind&) { general_signed_in(w).lacks_sending_for_others = true; });
    add("8_ApprovalNeeded", "8", "admin_approval_required(general)",
        [](World& w, DocumentKind&) { general_signed_in(w).state = AccountState::approval_required; });
    add("8_Revoked", "8", "auth_required(general)",
        [](World& w, DocumentKind&) { general_signed_in(w).state = AccountState::revoked; });
    add("9_PairRefusedByTheTenant", "9",
        "send_as_denied(general: mailer@erp.example; " + linked.subject + ": " + linked.address + ")",
        [](World& w, DocumentKind& kind) {
            general_signed_in(w);
            w.knowledge.refused_pairs = {{Mode::office365, "mailer@erp.example", *MailAddress::parse(kind.from)}};
        });
    add("8_ClearText", "8", "cleartext_password(general: Use SSL Encoding)",
        [](World& w, DocumentKind&) { w.general().server.use_ssl = false; });
    add("8_LoginRefused", "8", "auth_failed(general)",
        [=](World& w, DocumentKind&) { w.knowledge.refused_logins[general] = HoldReason::auth_failed; });
    add("8_BasicLoginEnded", "8", "basic_login_ended(general)",
        [=](World& w, DocumentKind&) { w.knowledge.refused_logins[general] = HoldReason::basic_login_ended; });
    add("9_PairRefused", "9",
        "send_as_denied(general: mailer@erp.example; " + linked.subject + ": " + linked.address + ")",
        [](World& w, DocumentKind& kind) {
            w.knowledge.refused_pairs = {{Mode::smtp, "mailer@erp.example", *MailAddress::parse(kind.from)}};
        });
    add("9_AnotherAccountsPair", "6", as_linked, [](World& w, DocumentKind& kind) {
        w.knowledge.refused_pairs = {{Mode::smtp, "Mailer@erp.example", *MailAddress::parse(kind.from)},
                                     {Mode::office365, "mailer@erp.example", *MailAddress::parse(kind.from)}};
    });
    add("10_NowBlank", "10", "address_removed(" + linked.subject + ": " + linked.label + ")",
        [](World& w, DocumentKind& kind) {
            kind.from = " ";
            kind.mode = LinkMode::not_configured; // asked later
            w.facts.user = samples::anna_id;      // and never lent
        });
    add("10_Deleted", "10",
        "address_removed(" + linked.subject.substr(0, linked.subject.find(' ')) + " no. 99: " + linked.label + ")",
        [](World& w, DocumentKind&) { (w.facts.row ? w.facts.row : w.facts.model) = 99; });
    return cases;
}

std::vector<TableCase> mobile_rows()
{
    std::vector<TableCase> cases = {
        {"B1_NotConfigured", [](World& w) { w.general().mode = Mode::not_configured; }, "B1",
         "mode_not_configured(general: Mailing Mode)"},
        {"B1_NoModeOfAnAccount", [](World& w) { w.general().mode = Mode::outlook; }, "B1",
         "mode_not_configured(general: Mailing Mode)"},
        {"B2_AccountsAddress", [](World&) {}, "B2", general_sends + "mailer@erp.example envelope mailer@erp.example"},
        {"B2_GeneralsFrom", [](World& w) { w.general().from = "ERP <erp@erp.example>"; }, "B2",
         general_sends + "ERP <erp@erp.example> sender mailer@erp.example envelope mailer@erp.example"},
        {"B2_ItsRowIsNotLookedAt", [](World& w) { w.facts.row = 99, w.facts.addressed = true; }, "B2",
         general_sends + "mailer@erp.example envelope mailer@erp.example"},
        {"B3_Incomplete", [](World& w) { w.general().account = "", w.general().password = {}; }, "B3",
         "config_incomplete(general: User; general: Password; general: \"From\" Address)"},
        {"B3_LoginWithoutAddress", [](World& w) { w.general().account = "mailer"; }, "B3",
         "config_incomplete(general: \"From\" Address)"},
        {"B3_MailboxBlank", [](World& w) { w.general().mode = Mode::office365, w.general().account = ""; }, "B3",
         "config_incomplete(general: Email)"},
        {"B3_NeverSignedIn", [](World& w) { w.general().mode = Mode::office365, w.general().from = "@"; }, "B3",
         "auth_required(general)"},
        {"B2_Office365", [](World& w) { general_signed_in(w, "box@erp.example"); }, "B2",
         "send office365 mailer@erp.example as box@erp.example"},
        {"B3_FromMissingOnceSignedIn", [](World& w) { general_signed_in(w), w.general().from = "@"; }, "B3",
         "config_incomplete(general: \"From\" Address)"},
        {"B3_ApprovalNeeded", [](World& w) { general_signed_in(w).state = AccountState::approval_required; }, "B3",
         "admin_approval_required(general)"},
        {"B3_ConsentMissing",
         [](World& w) {
             general_signed_in(w).lacks_sending_for_others = true;
             w.general().from = "erp@erp.example";
         },
         "B3", "consent_missing(general)"},
        {"B3_ClearText", [](World& w) { w.general().server.use_ssl = false; }, "B3",
         "cleartext_password(general: Use SSL Encoding)"},
        {"B3_LoginRefused", [](World& w) { w.knowledge.refused_logins[Owner::general()] = HoldReason::auth_failed; },
         "B3", "auth_failed(general)"},
        {"B3_PairRefused",
         [](World& w) {
             w.knowledge.refused_pairs = {
                 {Mode::smtp, "mailer@erp.example", *MailAddress::parse("mailer@erp.example")}};
         },
         "B3", "send_as_denied(general: mailer@erp.example; general: mailer@erp.example)"},
    };
    for (TableCase& table_case : cases)
        table_case.arrange = [spoil = table_case.arrange](World& w) {
            w.facts = samples::mobile();
            spoil(w);
        };
    return cases;
}

std::string name_of(const testing::TestParamInfo<TableCase>& info)
{
    return info.param.name;
}

const Linked rows{"M", samples::mass(), &World::row, "row INV", "Email Account for Sending", "invoices@erp.example"};
const Linked models{
    "D", samples::dispatch(), &World::model, "model DUN", "Email Address, section Dispatcher", "dunning@erp.example"};

INSTANTIATE_TEST_SUITE_P(Standard, DecisionTable, testing::ValuesIn(standard_rows()), name_of);
INSTANTIATE_TEST_SUITE_P(Mass, DecisionTable, testing::ValuesIn(linked_rows(rows)), name_of);
INSTANTIATE_TEST_SUITE_P(Dispatch, DecisionTable, testing::ValuesIn(linked_rows(models)), name_of);
INSTANTIATE_TEST_SUITE_P(Mobile, DecisionTable, testing::ValuesIn(mobile_rows()), name_of);

} // namespace
} // namespace mailroom::rules
