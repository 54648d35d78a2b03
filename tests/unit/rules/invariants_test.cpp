// What must hold whatever the settings are (docs/rules.md, "What never happens"), over generated settings with a fixed
// seed. Every owner's values have a domain of their own, so that a value shows where it came from.
#include "tests/unit/rules/samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string_view>
#include <vector>

namespace mailroom::rules {
namespace {

using samples::World;

constexpr int worlds = 100'000;
constexpr unsigned seed = 20'261;

class Generator {
public:
    World world()
    {
        World w;
        w.settings.general = general();
        for (const std::int32_t id : {samples::anna_id, samples::anna_id + 1}) {
            w.settings.users.emplace(id, user(id));
            w.settings.user_ids.emplace(w.settings.users.at(id).code, id);
        }
        w.settings.rows.emplace(samples::row_id, kind(samples::row_id, "row.example"));
        w.settings.models.emplace(samples::model_id, kind(samples::model_id, "model.example"));
        w.facts = facts();
        w.knowledge = knowledge();
        return w;
    }

    void change_user(Facts& facts, MailSettings& settings)
    {
        settings.users.at(samples::anna_id) = user(samples::anna_id);
        settings.users.at(samples::anna_id).enabled = coin();
        facts.user = pick<std::optional<std::int32_t>>({std::nullopt, samples::anna_id, 99});
        facts.user_code = pick_text({"", "ANNA", "BORIS"});
    }

    // Everything that this category must not look at.
    void change_the_unrelated(Category category, MailSettings& settings)
    {
        const General before = settings.general;
        settings.general = general();
        General& now = settings.general;
        now.edition = before.edition;
        settings.users.at(samples::anna_id + 1) = user(samples::anna_id + 1);
        if (category != Category::mass)
            settings.rows.at(samples::row_id) = kind(samples::row_id, "row.example");
        if (category != Category::dispatch)
            settings.models.at(samples::model_id) = kind(samples::model_id, "model.example");
        if (category == Category::standard) {
            now.default_user_mode = before.default_user_mode;
            now.server = before.server; // may be inherited
            now.user_server = before.user_server;
            return;
        }
        now.mode = before.mode;
        now.account = before.account;
        now.server = before.server;
        now.send_as = before.send_as;
        now.password = before.password;
        if (category == Category::mobile)
            now.from = before.from;
    }

private:
    template <class T>
    T pick(std::initializer_list<T> values)
    {
        return values.begin()[random_() % values.size()];
    }
    std::string pick_text(std::initializer_list<const char*> values) { return pick(values); }
    bool coin() { return random_() % 2 == 0; }
    bool mostly() { return random_() % 8 != 0; }

    // Mostly good ones, some blank, some malformed.
    std::string address(const std::string& local, const std::string& domain)
    {
        const std::string before = pick_text({"", "", "", " ", "Name <", "other-", "blank", "malformed"});
        if (before == "blank")
            return pick_text({"", " "});
        return before + local + "@" + (before == "malformed" ? "" : domain) + (before == "Name <" ? ">" : "");
    }
    std::string account(const std::string& local, const std::string& domain)
    {
        const std::string after = pick_text({"", "@", "@", "blank"});
        return after == "blank" ? pick_text({"", "  "}) : local + after + (after == "@" ? domain : "");
    }
    std::optional<SealedSecret> password() { return mostly() ? std::optional(SealedSecret{1}) : std::nullopt; }
    SmtpServer server(const std::string& host)
    {
        SmtpServer result;
        result.host = mostly() ? host : "";
        result.port = *Port::make(pick<int>({25, 465, 587}));
        result.use_ssl = mostly();
        result.login = mostly();
        result.allow_cleartext = coin();
        return result;
    }
    General general()
    {
        General g;
        g.edition = pick<Edition>({Edition::on_premise, Edition::cloud});
        g.default_user_mode = pick<Mode>(
            {Mode::not_configured, Mode::outlook, Mode::office365, Mode::smtp, Mode::smtp, Mode::other_client});
        g.mode = pick<Mode>({Mode::not_configured, Mode::smtp, Mode::smtp, Mode::office365});
        g.account = account("general", "general.example");
        g.from = address("erp", "general.example");
        g.server = server("smtp.general.example");
        g.user_server = server("users.general.example");
        g.send_as = coin();
        g.password = password();
        return g;
    }
    User user(std::int32_t id)
    {
        User u;
        u.id = id;
        u.code = id == samples::anna_id ? pick_text({"ANNA", "anna@user.example"}) : "OTHER";
        u.enabled = mostly();
        u.email = address("anna", "user.example");
        u.mode = pick<std::optional<Mode>>(
            {std::nullopt, std::nullopt, Mode::outlook, Mode::office365, Mode::smtp, Mode::smtp, Mode::other_client});
        u.account = account("anna", "user.example");
        u.from = address("sales", "user.example");
        u.server = server("smtp.user.example");
        u.send_as = coin();
        u.password = password();
        return u;
    }
    DocumentKind kind(std::int32_t id, const std::string& domain)
    {
        return {id, "KIND", "", address("office", domain),
                pick<LinkMode>({LinkMode::not_configured, LinkMode::outlook, LinkMode::general, LinkMode::general})};
    }
    Facts facts()
    {
        Facts f;
        f.source = random_() % 4 == 0 ? Source::mobile : Source::erp;
        if (mostly())
            f.user = samples::anna_id;
        f.user_code = "ANNA";
        const auto named = random_() % 4;
        if (named == 1)
            f.row = mostly() ? samples::row_id : 99;
        if (named == 2)
            f.model = mostly() ? samples::model_id : 99;
        f.addressed = named != 0 && mostly();
        return f;
    }
    Knowledge knowledge()
    {
        Knowledge k;
        if (!mostly())
            k.refused_logins[pick<Owner>({Owner::general(), Owner::user(samples::anna_id)})] = HoldReason::auth_failed;
        if (!mostly())
            k.refused_pairs = {
                {pick<Mode>({Mode::smtp, Mode::office365}), pick_text({"general@general.example", "anna@user.example"}),
                 *MailAddress::parse(pick_text({"office@row.example", "office@model.example", "sales@user.example"}))}};
        k.key_missing = !mostly();
        if (!mostly())
            k.sealed_otherwise.emplace(pick<Owner>({Owner::general(), Owner::user(samples::anna_id)}), "another key");
        k.carries = {mostly(), mostly()};
        if (mostly())
            k.accounts.emplace(Owner::general(), status("mailbox@general.example"));
        if (mostly())
            k.accounts.emplace(Owner::user(samples::anna_id), status("mailbox@user.example"));
        if (mostly())
            k.agents.emplace(samples::anna_id, agent());
        return k;
    }
    AccountStatus status(const char* mailbox)
    {
        using enum AccountState;
        AccountStatus s;
        s.state = pick<AccountState>({authenticated, authenticated, authenticated, authenticated, never_tried,
                                      sign_in_failed, declined, approval_required, revoked, idle});
        if (coin())
            s.mailbox = *MailAddress::parse(mailbox);
        s.lacks_sending_for_others = coin();
        return s;
    }
    DesktopAgent agent()
    {
        DesktopAgent a;
        a.outlook = pick<DesktopAgent::Outlook>(
            {DesktopAgent::Outlook::classic, DesktopAgent::Outlook::classic, DesktopAgent::Outlook::only_new});
        a.accounts = {{*MailAddress::parse("office@row.example"), !mostly()},
                      {*MailAddress::parse("Office@model.example"), !mostly()}};
        return a;
    }

    std::mt19937 random_{seed};
};

std::string whole(const Decision& decision)
{
    return decision.table_row + ": " + samples::answer_of(decision);
}

bool is_of(const MailAddress& address, std::string_view domain)
{
    return address.domain() == domain;
}

template <class Check>
void for_all_worlds(Check check)
{
    Generator generator;
    for (int i = 0; i < worlds && !testing::Test::HasFailure(); ++i) {
        World world = generator.world();
        check(world, generator);
        if (testing::Test::HasFailure())
            ADD_FAILURE() << "in world " << i;
    }
}

TEST(Invariants, TheGeneratorReachesEveryRow)
{
    std::map<std::string, int> rows;
    for_all_worlds([&](World& w, Generator&) { ++rows[w.resolve().table_row]; });
    for (const char* row :
         {"S1",    "S2",    "S3",    "S4",    "S5",     "S6",     "S7",     "S11",   "S12",    "S13",    "S14",
          "S8",    "S9",    "S10",   "M7",    "D7",     "D9",     "M1/S8",  "M1/S9", "M1/S10", "D1/S10", "M1/S15",
          "S15",   "M2",    "M3",    "M4",    "M5",     "M6",     "M8",     "M9",    "M10",    "D2",     "D3",
          "D4",    "D5",    "D6",    "D8",    "D10",    "B1",     "B2",     "B3",    "M1/S1",  "M1/S2",  "M1/S3",
          "M1/S4", "M1/S5", "M1/S6", "M1/S7", "M1/S11", "M1/S12", "M1/S13", "D1/S1", "D1/S11", "D1/S12"})
        EXPECT_GT(rows[row], 0) << row;
}

TEST(Invariants, StandardUsesOnlyThePostingUsersAccountAndFrom)
{
    for_all_worlds([](World& w, Generator&) {
        const Decision decision = w.resolve();
        const Identity* identity = decision.identity();
        if (classify(w.facts) != Category::standard || !identity)
            return;
        ASSERT_EQ(identity->owner, Owner::user(samples::anna_id));
        ASSERT_EQ(identity->password_owner, identity->owner);
        ASSERT_TRUE(!identity->password || (w.anna().password && identity->password == &*w.anna().password));
        ASSERT_TRUE(is_of(identity->from.address, "user.example"));
        ASSERT_TRUE(is_of(identity->envelope_sender, "user.example"));
        ASSERT_TRUE(!identity->sender || is_of(*identity->sender, "user.example"));
        ASSERT_TRUE(identity->account.empty() || identity->account.starts_with("anna") ||
                    identity->account.starts_with("other-anna"));
    });
}

TEST(Invariants, MassAndDispatchUseOnlyGeneralsAccountWithTheRowsOrModelsFrom)
{
    for_all_worlds([](World& w, Generator&) {
        const Category category = classify(w.facts);
        const Decision decision = w.resolve();
        if (category != Category::mass && category != Category::dispatch)
            return;
        if (const Handover* handover = decision.handover()) {
            ASSERT_TRUE(handover->from);
            ASSERT_TRUE(is_of(handover->from->address, category == Category::mass ? "row.example" : "model.example"));
            const DesktopAgent& agent = w.knowledge.agents.at(handover->user);
            ASSERT_TRUE(std::ranges::any_of(agent.accounts, [&](const DesktopAgent::Account& account) {
                return account.address == handover->from->address && !account.linked;
            }));
        }
        if (const Hold* hold = decision.hold(); hold && hold->reason == HoldReason::waiting_desktop) {
            const DocumentKind& kind = category == Category::mass ? w.row() : w.model();
            ASSERT_EQ(kind.mode, LinkMode::outlook);
            ASSERT_TRUE(NamedAddress::parse(kind.from));
        }
        const Identity* identity = decision.identity();
        if (!identity)
            return;
        ASSERT_EQ(identity->owner, Owner::general());
        ASSERT_TRUE(!identity->password || identity->password == &*w.general().password);
        ASSERT_TRUE(is_of(identity->from.address, category == Category::mass ? "row.example" : "model.example"));
        if (identity->mode == Mode::smtp) {
            ASSERT_EQ(identity->host, "smtp.general.example");
        }
        ASSERT_TRUE(!identity->sender || is_of(*identity->sender, "general.example"));
    });
}

TEST(Invariants, MobileUsesOnlyGeneralsAccountAndFrom)
{
    for_all_worlds([](World& w, Generator&) {
        const Decision decision = w.resolve();
        const Identity* identity = decision.identity();
        if (classify(w.facts) != Category::mobile || !identity)
            return;
        ASSERT_EQ(identity->owner, Owner::general());
        ASSERT_TRUE(!identity->password || identity->password == &*w.general().password);
        ASSERT_TRUE(is_of(identity->from.address, "general.example"));
        ASSERT_TRUE(is_of(identity->envelope_sender, "general.example"));
        if (identity->mode == Mode::smtp) {
            ASSERT_EQ(identity->host, "smtp.general.example");
        }
    });
}

TEST(Invariants, OnlyTheRowsOfThePostingUserLookAtTheUser)
{
    for_all_worlds([](World& w, Generator& generator) {
        const std::string before = whole(w.resolve());
        const std::string row = w.resolve().table_row;
        if (row.find('S') != std::string::npos || row == "M3" || row == "D3")
            return;
        generator.change_user(w.facts, w.settings);
        ASSERT_EQ(whole(w.resolve()), before);
    });
}

TEST(Invariants, NothingButTheSettingsNamedIsLookedAt)
{
    for_all_worlds([](World& w, Generator& generator) {
        const std::string before = whole(w.resolve());
        generator.change_the_unrelated(classify(w.facts), w.settings);
        ASSERT_EQ(whole(w.resolve()), before);
    });
}

bool ends_with_one_of(const std::string& row, std::initializer_list<std::string_view> ends)
{
    return std::ranges::any_of(ends, [&](std::string_view end) { return row.ends_with(end); });
}

// The account's default on cloud is the user code, where that is an address and nothing else is set.
bool code_may_be_the_account(const User& user)
{
    return trimmed(user.account).empty() && trimmed(user.email).empty() && user.code != "ANNA";
}

TEST(Invariants, TheEditionChangesOnlyDesktopModesAndTheDefaultAccount)
{
    for_all_worlds([](World& w, Generator&) {
        w.general().edition = Edition::on_premise;
        const std::string row = w.resolve().table_row;
        const std::string on_premise = whole(w.resolve());
        w.general().edition = Edition::cloud;
        const bool desktop = ends_with_one_of(row, {"S3", "S5", "M3", "D3"});
        ASSERT_EQ(ends_with_one_of(w.resolve().table_row, {"S4", "M4", "D4"}), desktop);
        if (!desktop && !code_may_be_the_account(w.anna())) {
            ASSERT_EQ(whole(w.resolve()), on_premise);
        }
    });
}

TEST(Invariants, NothingIsSentWithoutFromServerAndCredentials)
{
    for_all_worlds([](World& w, Generator&) {
        const Decision decision = w.resolve();
        const Identity* identity = decision.identity();
        if (!identity)
            return;
        ASSERT_FALSE(identity->from.address.str().empty());
        ASSERT_FALSE(identity->envelope_sender.str().empty());
        ASSERT_FALSE(identity->account.empty() && identity->mode == Mode::office365);
        ASSERT_EQ(identity->host.empty(), identity->mode == Mode::office365);
        if (identity->mode == Mode::smtp) {
            ASSERT_EQ(identity->password == nullptr, identity->account.empty());
        }
        ASSERT_FALSE(identity->paired_as.empty());
        if (identity->sender) {
            ASSERT_NE(*identity->sender, identity->from.address);
            ASSERT_EQ(*identity->sender, identity->envelope_sender);
        } else {
            ASSERT_EQ(identity->envelope_sender, identity->from.address);
        }
    });
}

TEST(Invariants, ADesktopIsThatOfThePostingUserAndOnlyInADesktopMode)
{
    for_all_worlds([](World& w, Generator&) {
        const Decision decision = w.resolve();
        const Handover* handover = decision.handover();
        if (!handover)
            return;
        ASSERT_TRUE(ends_with_one_of(decision.table_row, {"S3", "S5", "M3", "D3"}));
        ASSERT_EQ(handover->user, w.facts.user.value_or(samples::anna_id)); // or named by the code
        ASSERT_EQ(handover->from.has_value(), classify(w.facts) != Category::standard);
        ASSERT_EQ(w.general().edition, Edition::on_premise);
    });
}

TEST(Invariants, WhatThisProcessCannotCarryIsHeldUnderTheSameRow)
{
    for_all_worlds([](World& w, Generator&) {
        w.knowledge.carries = {true, true};
        const Decision before = w.resolve();
        w.knowledge.carries = {};
        const Decision decision = w.resolve();
        ASSERT_EQ(decision.table_row, before.table_row);
        ASSERT_FALSE(decision.handover());
        ASSERT_TRUE(!decision.identity() || decision.identity()->mode == Mode::smtp);
        if (before.handover()) {
            ASSERT_EQ(decision.hold()->reason, HoldReason::waiting_desktop);
        }
        if (before.identity() && before.identity()->mode == Mode::office365) {
            ASSERT_EQ(decision.hold()->reason, HoldReason::auth_required);
        }
    });
}

TEST(Invariants, OnlyASignedInAccountSendsByOffice365AndForOthersOnlyWithConsent)
{
    for_all_worlds([](World& w, Generator&) {
        const Decision decision = w.resolve();
        const Identity* identity = decision.identity();
        if (!identity || identity->mode != Mode::office365)
            return;
        const AccountStatus& status = w.knowledge.accounts.at(identity->owner);
        ASSERT_EQ(status.state, AccountState::authenticated);
        if (status.lacks_sending_for_others && status.mailbox) {
            ASSERT_EQ(identity->from.address, *status.mailbox);
        }
    });
}

TEST(Invariants, WhoAsksWhyGetsTheSameAnswer)
{
    for_all_worlds([](World& w, Generator&) {
        Trace trace;
        const Decision traced = resolve_sender(w.facts, w.settings, w.knowledge, &trace);
        ASSERT_EQ(whole(traced), whole(w.resolve()));
        ASSERT_FALSE(trace.steps.empty());
        ASSERT_TRUE(trace.steps.back().result.starts_with(traced.table_row + ": "));
    });
}

TEST(Invariants, TheSameQuestionHasTheSameAnswerAndEveryHoldItsSubjectAndRemedy)
{
    for_all_worlds([](World& w, Generator&) {
        const Decision decision = w.resolve();
        const World copy = w;
        ASSERT_EQ(whole(decision), whole(copy.resolve()));
        if (const Hold* hold = decision.hold()) {
            ASSERT_FALSE(hold->subjects.empty());
            ASSERT_TRUE(remedy(*hold).ends_with("."));
            ASSERT_TRUE(ends_with_settings(hold->reason));
        }
    });
}

} // namespace
} // namespace mailroom::rules
