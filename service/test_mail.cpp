#include "service/test_mail.hpp"

#include "config/text.hpp"

#include "service/rules/sender.hpp"

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
        sql = R"(SELECT mailroom.save_general($1::jsonb || '{"confirm": true}'))"; // nothing of it stays
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
               const queue::Keyring& keys)
{
    const auto opened = stored ? keys.open(*stored, queue::password_place(owner)) : Result<Secret>(Error{});
    return opened && opened->reveal() == typed.reveal();
}

// The stored secret goes only to whom it was stored for; what was typed goes in its place. True: it is the stored one.
Result<bool> put_password(Screen& screen, const Order& order, const Owner& owner, Mode mode, const queue::Keyring* keys)
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
        if (keys == nullptr)
            return Error{"there is no key to seal the password with: make one with `mailroom config new-key FILE` and "
                         "name it in [secrets] key_file"};
        const bool is_the_same = same && is_stored(*order.password, stored, owner, *keys);
        password = is_the_same ? stored : keys->newest().seal(*order.password, queue::password_place(owner));
        return is_the_same;
    }
    if (stored && !same)
        return Error{fmt::format("the stored password was entered for {} at {}:{}, and the test has another account, "
                                 "server, port or encryption: type it again (--password)",
                                 before->account, before->server->host, before->server->port.number())};
    password = stored;
    return true;
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

Result<Plan> plan(const Order& order, Screen screen, const queue::Keyring* keys)
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
        const auto is_stored_one = put_password(screen, order, *owner, mode, keys);
        if (!is_stored_one)
            return is_stored_one.error();
        counts = counts && *is_stored_one;
    }
    auto snapshot = make_snapshot(std::move(screen.shown), keys);
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

} // namespace mailroom::test_mail
