#include "service/test_mail.hpp"

#include "config/text.hpp"

#include "queue/sql.hpp"
#include "service/doctor/servers.hpp"
#include "service/login.hpp"
#include "service/rules/decide.hpp"
#include "service/rules/sender.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace mailroom::test_mail {
namespace {

using Kind = Place::Kind;

constexpr std::string_view serialization_failure = "40001"; // SQLSTATE: somebody saved meanwhile

std::string words_for(const Place& place, const std::string& presser)
{
    switch (place.kind) {
    case Kind::general:
        return "general";
    case Kind::user:
        return "user " + place.code;
    case Kind::row:
        return "form " + place.code;
    case Kind::model:
        return "model " + place.code;
    case Kind::me:
        return "me " + presser;
    }
    return {};
}

// One's own values are those of one's user.
pg::DbResult<void> save(pg::Connection& connection, const Order& order)
{
    if (order.values.empty())
        return {};
    const Place& place = order.place;
    std::string_view sql = "SELECT mailroom.save_user($2, $1::jsonb)";
    if (place.kind == Kind::general)
        sql = "SELECT mailroom.save_general($1::jsonb)";
    else if (place.kind == Kind::row)
        sql = "SELECT mailroom.save_row($2, $1::jsonb)";
    else if (place.kind == Kind::model)
        sql = "SELECT mailroom.save_model($2, $1::jsonb)";
    pg::Params params;
    params.text(order.values);
    if (place.kind != Kind::general)
        params.text(place.kind == Kind::me ? order.presser : place.code);
    auto saved = connection.run({"", sql}, params);
    if (!saved)
        return saved.error();
    return {};
}

pg::DbResult<Screen> read_within(pg::Connection& connection, const Order& order)
{
    auto stored = queue::read_settings(connection);
    if (!stored)
        return stored.error();
    if (auto saved = save(connection, order); !saved)
        return saved.error();
    auto shown = queue::read_settings(connection);
    if (!shown)
        return shown.error();
    auto uid = connection.run({"", "SELECT gen_random_uuid()::text"});
    if (!uid)
        return uid.error();
    return Screen{std::move(stored->settings), *std::move(shown), std::string(uid->text(0, 0))};
}

bool are_the_same(const MailSettings& a, const MailSettings& b)
{
    return a.general == b.general && a.users == b.users && a.rows == b.rows && a.models == b.models;
}

const DocumentKind* find_document(const std::map<std::int32_t, DocumentKind>& all, const std::string& code)
{
    const auto found = std::ranges::find_if(all, [&](const auto& one) { return one.second.code == code; });
    return found == all.end() ? nullptr : &found->second;
}

const User* find_user(const MailSettings& settings, const std::string& code)
{
    const auto id = settings.user_ids.find(code);
    return id == settings.user_ids.end() ? nullptr : &settings.users.at(id->second);
}

struct Posting {
    rules::Facts facts;
    std::string note;
};

Result<Posting> posting_of(const Order& order, const MailSettings& settings)
{
    const Place& place = order.place;
    const User* const presser = find_user(settings, order.presser);
    if (!order.presser.empty() && presser == nullptr)
        return Error{fmt::format("there is no user \"{}\" to press for", order.presser)};
    Posting posting;
    posting.facts.user_code = order.presser;
    if (presser != nullptr)
        posting.facts.user = presser->id;
    if (place.kind == Kind::general) {
        posting.facts.source = rules::Source::mobile;
        return posting;
    }
    if (place.kind == Kind::me && presser == nullptr)
        return Error{"whose test is it? Name the user with --as USER"};
    if (place.kind == Kind::me)
        return posting;
    if (place.kind == Kind::user) { // never the presser
        const User* const user = find_user(settings, place.code);
        posting.facts.user_code = place.code;
        posting.facts.user = user == nullptr ? std::nullopt : std::optional(user->id);
        return posting;
    }
    const bool is_row = place.kind == Kind::row;
    const DocumentKind* const kind = find_document(is_row ? settings.rows : settings.models, place.code);
    if (kind == nullptr)
        return Error{fmt::format("there is no {} \"{}\"", is_row ? "form" : "model", place.code)};
    (is_row ? posting.facts.row : posting.facts.model) = kind->id;
    posting.facts.addressed = !rules::is_blank(kind->from);
    if (posting.facts.addressed)
        return posting;
    if (presser == nullptr)
        return Error{fmt::format("the address of {} is blank, so that its mail goes as standard mail of whoever posts "
                                 "it: name that user with --as USER",
                                 words_for(place, {}))};
    posting.note = fmt::format("the address is blank: its mail goes as standard mail of whoever posts it, and as that "
                               "of user {} it is tested",
                               presser->code);
    return posting;
}

Result<MailAddress> recipient_of(const Order& order, const MailSettings& settings)
{
    if (!order.to.empty()) {
        auto address = MailAddress::parse(order.to);
        if (!address)
            return Error{"--to: " + address.error().text};
        return address;
    }
    const User* const presser = find_user(settings, order.presser);
    if (presser == nullptr)
        return Error{
            "a test goes to the presser's own address: name that user with --as USER, or an address with --to"};
    for (const std::string& text : {presser->email, presser->account}) {
        if (auto address = MailAddress::parse(text))
            return address;
    }
    return Error{fmt::format("user {} has no e-mail address: name one with --to", presser->code)};
}

Mode mode_of(const rules::Facts& facts, const MailSettings& settings)
{
    const General& general = settings.general;
    const auto linked = [&](const DocumentKind& kind) {
        return kind.mode == LinkMode::general   ? general.mode
               : kind.mode == LinkMode::outlook ? Mode::outlook
                                                : Mode::not_configured;
    };
    switch (rules::classify(facts)) {
    case Category::mobile:
        return general.mode;
    case Category::mass:
        return linked(settings.rows.at(*facts.row));
    case Category::dispatch:
        return linked(settings.models.at(*facts.model));
    case Category::standard:
        break;
    }
    return facts.user ? settings.users.at(*facts.user).mode.value_or(general.default_user_mode) : Mode::not_configured;
}

// Whose account sends; none: a user who does not exist.
std::optional<Owner> owner_of(const rules::Facts& facts)
{
    if (rules::classify(facts) != Category::standard)
        return Owner::general();
    return facts.user ? std::optional(Owner::user(*facts.user)) : std::nullopt;
}

std::optional<rules::Sender> sender_in(const MailSettings& settings, const Owner& owner)
{
    if (owner.kind == Owner::Kind::general)
        return rules::sender_for_mobile(settings.general);
    const auto user = settings.users.find(owner.id);
    if (user == settings.users.end())
        return std::nullopt;
    return rules::sender_of(user->second, Mode::smtp, settings.general);
}

bool shows_it_to_the_same(const rules::Sender& a, const rules::Sender& b)
{
    const auto whom = [](const rules::Sender& sender) {
        return std::tuple(sender.account, std::string(trimmed(sender.server->host)), sender.server->port.number(),
                          sender.server->use_ssl);
    };
    return a.server != nullptr && b.server != nullptr && whom(a) == whom(b);
}

std::optional<SealedSecret>& password_in(MailSettings& settings, const Owner& owner)
{
    return owner.kind == Owner::Kind::general ? settings.general.password : settings.users.at(owner.id).password;
}

bool is_stored(const Secret& typed, const std::optional<SealedSecret>& stored, const Owner& owner,
               const queue::SealingKey& key)
{
    const auto opened = stored ? key.open(*stored, queue::password_place(owner)) : Result<Secret>(Error{});
    return opened && opened->reveal() == typed.reveal();
}

// The stored secret goes only to whom it was stored for; what was typed goes in its place. True: it is the stored one.
Result<bool> put_password(Screen& screen, const Order& order, const Owner& owner, Mode mode,
                          const queue::SealingKey* key)
{
    MailSettings& shown = screen.shown.settings;
    const auto now = sender_in(shown, owner);
    const auto before = sender_in(screen.stored, owner);
    if (mode != Mode::smtp || !now || now->server == nullptr || !now->server->login)
        return true;
    const bool same = before && shows_it_to_the_same(*now, *before);
    const auto stored = before ? password_in(screen.stored, owner) : std::nullopt;
    auto& password = password_in(shown, owner);
    if (order.password) {
        if (key == nullptr)
            return Error{"there is no key to seal the password with: make one with `mailroom config new-key FILE` and "
                         "name it in [secrets] key_file"};
        const bool is_the_same = same && is_stored(*order.password, stored, owner, *key);
        password = is_the_same ? stored : key->seal(*order.password, queue::password_place(owner));
        return is_the_same;
    }
    if (stored && !same)
        return Error{fmt::format("the stored password was entered for {} at {}:{}, and the test has another account, "
                                 "server, port or encryption: type it again (--password)",
                                 before->account, before->server->host, before->server->port.number())};
    password = stored;
    return true;
}

std::string owner_word(const Owner& owner)
{
    return owner.kind == Owner::Kind::general ? "general" : fmt::format("user:{}", owner.id);
}

rules::Judgement judge(const Delivery& delivery, const rules::Identity& identity)
{
    return rules::decide(delivery, identity, {}, {}, 0.5);
}

pg::DbResult<bool> set_good(pg::Connection& connection, const rules::Identity& identity, const Login& login)
{
    const rules::RefusedPair pair = rules::pair_of(identity);
    pg::Params params;
    params.bytes(login.fingerprint).text(to_string(pair.mode)).text(pair.account).text(pair.from.str());
    auto done = connection.run({"", "SELECT mailroom.test_was_good($1::bytea, $2, $3, $4, $5)"},
                               params.text(owner_word(identity.owner)));
    if (!done)
        return done.error();
    return done->truth(0, 0);
}

Result<Status> status_after(pg::Connection& connection, const rules::Identity& identity, const Delivery& delivery,
                            const queue::SealingKey* key)
{
    const Result<Login> login = login_for(identity, key);
    if (!login)
        return Status{};
    if (delivery.outcome.verdict == Verdict::accepted) {
        const auto known = set_good(connection, identity, *login);
        if (!known)
            return Error{"setting the status: " + pg::explain(known.error())};
        return Status{*known ? "what was refused before is not any more, and what waited for it goes on"
                             : "what waited for the account goes on"};
    }
    const std::string reply = doctor::words_of(delivery.outcome);
    const auto pause = [&](const char* reason) {
        const std::string owner = identity.owner_code.empty() ? "general" : "user " + identity.owner_code;
        return queue::refuse_login(connection,
                                   {login->fingerprint, reason, {owner, identity.account, identity.host, reply}});
    };
    pg::DbResult<bool> stored = false;
    std::string words;
    switch (judge(delivery, identity).consequence) {
    case rules::Consequence::login_refused:
        stored = pause("auth_failed");
        words = "the account is paused for all: its mail is held, and nothing tries the login again by itself";
        break;
    case rules::Consequence::basic_login_ended:
        stored = pause("basic_login_ended");
        words = "the account is paused for all: its mail is held, and nothing tries the login again by itself";
        break;
    case rules::Consequence::sender_refused: {
        const rules::RefusedPair pair = rules::pair_of(identity);
        stored =
            queue::refuse_sender(connection, {std::string(to_string(pair.mode)), pair.account, pair.from.str(), reply});
        words = "mail of this account as this address is held; its other addresses go on";
        break;
    }
    default:
        return Status{};
    }
    if (!stored)
        return Error{"setting the status: " + pg::explain(stored.error())};
    return Status{std::move(words)};
}

} // namespace

pg::DbResult<Screen> read_screen(pg::Connection& connection, const Order& order)
{
    constexpr int most_tries = 3; // ours
    for (int tries = 1;; ++tries) {
        auto begun = connection.script("BEGIN ISOLATION LEVEL REPEATABLE READ", pg::Connection::statement_limit);
        if (!begun)
            return begun.error();
        auto screen = read_within(connection, order);
        if (connection.usable()) {
            if (auto undone = connection.script("ROLLBACK", pg::Connection::statement_limit); !undone)
                return undone.error();
        }
        if (screen || screen.error().sqlstate != serialization_failure || tries == most_tries)
            return screen;
    }
}

Result<Plan> plan(const Order& order, Screen screen, const queue::SealingKey* key)
{
    const auto posting = posting_of(order, screen.shown.settings);
    if (!posting)
        return posting.error();
    auto to = recipient_of(order, screen.shown.settings);
    if (!to)
        return to.error();
    const Mode mode = mode_of(posting->facts, screen.shown.settings);
    bool counts = are_the_same(screen.stored, screen.shown.settings);
    if (const auto owner = owner_of(posting->facts)) {
        const auto is_stored_one = put_password(screen, order, *owner, mode, key);
        if (!is_stored_one)
            return is_stored_one.error();
        counts = counts && *is_stored_one;
    }
    auto snapshot = make_snapshot(std::move(screen.shown), key);
    rules::Knowledge knowledge = snapshot->knowledge; // a test is the probe of what is paused
    knowledge.refused_logins.clear();
    knowledge.refused_pairs.clear();
    rules::Decision decision = rules::resolve_sender(posting->facts, snapshot->settings, knowledge);
    return Plan{.place = words_for(order.place, order.presser),
                .pressed_by = order.presser,
                .note = posting->note,
                .counts = counts,
                .uid = std::move(screen.uid),
                .to = *std::move(to),
                .mode = mode,
                .snapshot = std::move(snapshot),
                .decision = std::move(decision)};
}

Report report_of(const Plan& plan, const Sent* sent, const std::string& domain)
{
    Report report;
    report.place = plan.place;
    report.pressed_by = plan.pressed_by;
    report.note = plan.note;
    report.counts = plan.counts;
    report.table_row = plan.decision.table_row;
    report.mode = to_string(plan.mode);
    report.to = plan.to.written();
    if (const rules::Hold* const hold = plan.decision.hold()) {
        report.outcome = "held";
        report.words = rules::describe(*hold);
        report.what_to_do = rules::remedy(*hold);
        return report;
    }
    const rules::Identity& identity = *plan.decision.identity();
    report.account = identity.account;
    report.from = to_string(identity.from);
    report.sender = identity.sender ? identity.sender->written() : "";
    report.envelope_sender = identity.envelope_sender.written();
    report.message_id = "<" + plan.uid + "@" + domain + ">";
    const Delivery& delivery = sent->delivery;
    report.server = delivery.server;
    report.words = doctor::words_of(delivery.outcome);
    report.steps = steps_of(sent->trace, report.words, Trace::Clock::now());
    if (delivery.outcome.verdict == Verdict::accepted) {
        report.outcome = "accepted";
        return report;
    }
    report.outcome = delivery.outcome.verdict == Verdict::in_doubt ? "in_doubt" : "refused";
    report.failed_at = name_of(delivery.outcome.stage);
    const rules::Judgement judgement = judge(delivery, identity);
    if (const auto* held = std::get_if<rules::Held>(&judgement.transition))
        report.what_to_do = rules::remedy(held->hold);
    else if (delivery.outcome.verdict == Verdict::in_doubt)
        report.what_to_do = "look whether the test has come; if not, send another";
    else
        report.what_to_do = doctor::about_unreachable(delivery.server, delivery.outcome).remedy;
    return report;
}

Result<Status> settle(pg::Connection& connection, const Plan& plan, const Sent* sent, const Report& report,
                      const queue::SealingKey* key)
{
    Status status{"the values are not the stored ones: no status changes"};
    if (plan.counts && sent != nullptr) {
        auto after = status_after(connection, *plan.decision.identity(), sent->delivery, key);
        if (!after)
            return after;
        status = *std::move(after);
    } else if (plan.counts) {
        status.words.clear();
    }
    const auto recorded = connection.run({"", "SELECT mailroom.record_test($1::jsonb)"},
                                         pg::Params().text(boost::json::serialize(to_json(report))));
    if (!recorded)
        return Error{"recording the test: " + pg::explain(recorded.error())};
    return status;
}

} // namespace mailroom::test_mail
