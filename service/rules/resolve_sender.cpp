#include "service/rules/resolve_sender.hpp"

#include "service/rules/labels.hpp"
#include "service/rules/sender.hpp"

#include <algorithm>

namespace mailroom::rules {
namespace {

// The mode that decides, and whose setting it is.
struct Deciding {
    Mode mode = Mode::not_configured;
    Subject setting;
};

struct Case {
    const Facts& facts;
    const MailSettings& settings;
    Category category;
    const User* user;         // who posts; null: none, or none that exists
    const DocumentKind* kind; // the Row or Model of a mass or dispatch message; null: deleted, or another category
};

bool is_linked(const Case& c)
{
    return c.category == Category::mass || c.category == Category::dispatch;
}

Subject::Kind kind_of(const Case& c)
{
    return c.category == Category::mass ? Subject::Kind::row : Subject::Kind::model;
}

template <class Map>
const typename Map::mapped_type* find(const Map& map, std::optional<std::int32_t> id)
{
    const auto found = id ? map.find(*id) : map.end();
    return found == map.end() ? nullptr : &found->second;
}

// By id; by code only where nobody had that code when the message was enqueued, so that making the User frees it.
const User* posting_user(const Facts& facts, const MailSettings& settings)
{
    if (facts.user)
        return find(settings.users, facts.user);
    const auto named = settings.user_ids.find(trimmed(facts.user_code));
    return named == settings.user_ids.end() || is_blank(facts.user_code) ? nullptr
                                                                         : find(settings.users, named->second);
}

Case case_of(const Facts& facts, const MailSettings& settings)
{
    const Category category = classify(facts);
    const DocumentKind* kind = category == Category::mass       ? find(settings.rows, facts.row)
                               : category == Category::dispatch ? find(settings.models, facts.model)
                                                                : nullptr;
    return {facts, settings, category, posting_user(facts, settings), kind};
}

// The row's name: its number in the column of the message's category. A standard message that named a Row or Model with
// a blank address names M1 or D1 before it.
std::string row_name(const Case& c, int number)
{
    const std::string text = std::to_string(number);
    switch (c.category) {
    case Category::mass:
        return "M" + text;
    case Category::dispatch:
        return "D" + text;
    case Category::mobile:
        return "B" + text;
    case Category::standard:
        break;
    }
    return (c.facts.row ? "M1/S" : c.facts.model ? "D1/S" : "S") + text;
}

// Rows that stand in several parts of the table.
struct Numbers {
    int standard;
    int linked;
    int mobile;
};

int of(const Case& c, Numbers numbers)
{
    return is_linked(c) ? numbers.linked : c.category == Category::mobile ? numbers.mobile : numbers.standard;
}

Decision held(const Case& c, int row, HoldReason reason, std::vector<Subject> subjects)
{
    return {row_name(c, row), Hold{reason, std::move(subjects)}};
}

Subject missing_user(const Case& c)
{
    Subject subject{Subject::Kind::user, c.facts.user.value_or(0), std::string(trimmed(c.facts.user_code)), {}};
    if (c.user)
        return subject_of(*c.user, "disabled");
    subject.field = c.facts.user ? "deleted" : subject.code.empty() ? "none named" : "unknown";
    return subject;
}

bool has_usable_user(const Case& c)
{
    return c.user != nullptr && c.user->enabled;
}

Deciding deciding_mode(const Case& c)
{
    const General& general = c.settings.general;
    if (c.category == Category::standard)
        return c.user->mode ? Deciding{*c.user->mode, subject_of(*c.user, label::mode)}
                            : Deciding{general.default_user_mode, subject_of_general(label::default_mode)};
    if (is_linked(c) && c.kind->mode != LinkMode::general)
        return {c.kind->mode == LinkMode::outlook ? Mode::outlook : Mode::not_configured,
                subject_of(*c.kind, kind_of(c), label::mode)};
    // The shared account has no desktop: a mode that it cannot have is none.
    const bool serves = general.mode == Mode::smtp || general.mode == Mode::office365;
    return {serves ? general.mode : Mode::not_configured, subject_of_general(label::mode)};
}

bool is_desktop(Mode mode)
{
    return mode == Mode::outlook || mode == Mode::other_client;
}

Sender sender_in(const Case& c, Mode mode)
{
    if (c.category == Category::standard)
        return sender_of(*c.user, mode, c.settings.general);
    if (c.category == Category::mobile)
        return sender_for_mobile(c.settings.general);
    return sender_for(*c.kind, kind_of(c), c.settings.general);
}

// as(account, from) with smtp; nothing is missing.
Identity identity_of(const Sender& sender)
{
    const SmtpServer& server = *sender.server;
    const MailAddress& from = sender.from->address;
    const bool for_another = sender.address && *sender.address != from && !sender.send_as;
    Subject from_setting = sender.from_subject;
    from_setting.field = from.written();
    const std::string host(trimmed(server.host));
    return {.owner = sender.owner,
            .owner_code = sender.subject.code,
            .account = server.login ? sender.account : std::string(),
            .password = server.login ? sender.password : nullptr,
            .password_owner = sender.owner,
            .host = host,
            .port = server.port,
            .security = security_of(server),
            .from = *sender.from,
            .sender = for_another ? sender.address : std::nullopt,
            .envelope_sender = for_another ? *sender.address : from,
            .from_setting = std::move(from_setting),
            .paired_as = sender.account.empty() ? host : sender.account};
}

std::vector<Subject> missing_fields(const Sender& sender)
{
    const bool smtp = sender.mode == Mode::smtp;
    const bool logs_in = !smtp || sender.server->login;
    // An office365 account's own From may come from the mailbox, which only the sign-in tells.
    const bool needs_from =
        smtp || sender.from_subject.kind == Subject::Kind::row || sender.from_subject.kind == Subject::Kind::model;
    std::vector<Subject> missing;
    const auto add = [&](Subject subject, std::string_view field) {
        subject.field = field;
        missing.push_back(std::move(subject));
    };
    if (smtp && is_blank(sender.server->host))
        add(sender.server_subject, label::server);
    if (logs_in && sender.account.empty())
        add(sender.subject, smtp ? label::login : label::mailbox);
    if (smtp && logs_in && !sender.password)
        add(sender.subject, label::password);
    if (needs_from && !sender.from)
        missing.push_back(sender.from_subject);
    return missing;
}

// The steps, in the order in which they decide. Each gives the decision if it is the one that stops the message.

std::optional<Decision> address_removed(const Case& c)
{
    if (!is_linked(c) || (c.kind && !is_blank(c.kind->from)))
        return {};
    const bool row = c.category == Category::mass;
    Subject subject{kind_of(c), (row ? c.facts.row : c.facts.model).value_or(0), c.kind ? c.kind->code : std::string(),
                    std::string(row ? label::row_from : label::model_from)};
    return held(c, 10, HoldReason::address_removed, {std::move(subject)});
}

std::optional<Decision> no_user(const Case& c)
{
    if (c.category != Category::standard || has_usable_user(c))
        return {};
    return held(c, 1, HoldReason::no_user, {missing_user(c)});
}

std::optional<Decision> mode_not_configured(const Case& c, const Deciding& deciding)
{
    if (deciding.mode != Mode::not_configured)
        return {};
    const int linked = deciding.setting.kind == Subject::Kind::general ? 5 : 2;
    return held(c, of(c, {2, linked, 1}), HoldReason::mode_not_configured, {deciding.setting});
}

std::optional<Decision> mode_unavailable_on_cloud(const Case& c, const Deciding& deciding)
{
    if (c.settings.general.edition != Edition::cloud || !is_desktop(deciding.mode))
        return {};
    return held(c, 4, HoldReason::mode_unavailable_on_cloud, {deciding.setting});
}

// No desktop agent reports yet, so all of them are absent.
std::optional<Decision> desktop(const Case& c, const Deciding& deciding)
{
    if (!is_desktop(deciding.mode))
        return {};
    const int row = deciding.mode == Mode::outlook ? 3 : 5;
    if (is_linked(c)) {
        const Sender sender = sender_for(*c.kind, kind_of(c), c.settings.general);
        if (!sender.from)
            return held(c, row, HoldReason::config_incomplete, {sender.from_subject});
        if (!has_usable_user(c))
            return held(c, row, HoldReason::no_user, {missing_user(c)});
    }
    return held(c, row, HoldReason::waiting_desktop, {subject_of(*c.user)});
}

std::optional<Decision> config_incomplete(const Case& c, const Sender& sender)
{
    std::vector<Subject> missing = missing_fields(sender);
    if (missing.empty())
        return {};
    const int standard = sender.mode == Mode::office365 ? 6 : 13;
    return held(c, of(c, {standard, 8, 3}), HoldReason::config_incomplete, std::move(missing));
}

std::optional<Decision> cleartext_password(const Case& c, const Sender& sender)
{
    const SmtpServer& server = *sender.server;
    if (sender.mode != Mode::smtp || !server.login || server.allow_cleartext || security_of(server) != Security::none)
        return {};
    Subject subject = sender.server_subject;
    subject.field = sender.ssl_label;
    return held(c, of(c, {13, 8, 3}), HoldReason::cleartext_password, {std::move(subject)});
}

// There is no sign-in yet, so no office365 account has ever signed in.
std::optional<Decision> account_stopped(const Case& c, const Sender& sender, const Knowledge& knowledge)
{
    if (sender.mode == Mode::office365)
        return held(c, of(c, {7, 8, 3}), HoldReason::auth_required, {sender.subject});
    const auto refused = knowledge.refused_logins.find(sender.owner);
    if (!sender.server->login || refused == knowledge.refused_logins.end())
        return {};
    return held(c, of(c, {14, 8, 3}), refused->second, {sender.subject});
}

std::optional<Decision> pair_stopped(const Case& c, const Identity& identity, const Knowledge& knowledge)
{
    const RefusedPair pair = pair_of(identity);
    const auto same = [&](const RefusedPair& refused) {
        return refused.mode == pair.mode && refused.account == pair.account && refused.from == pair.from;
    };
    if (std::ranges::none_of(knowledge.refused_pairs, same))
        return {};
    return Decision{row_name(c, of(c, {15, 9, 3})), refused_sender(identity)};
}

// Without the key a stored password is as good as none; it says nothing of the account, so it comes last.
Decision send(const Case& c, Identity identity, const Knowledge& knowledge)
{
    const int standard = c.user && c.user->mode ? 11 : 12;
    const int row = of(c, {standard, 6, 2});
    if (knowledge.key_missing && identity.password)
        return held(c, row, HoldReason::key_missing, {subject_of_general()});
    return {row_name(c, row), std::move(identity)};
}

} // namespace

Decision resolve_sender(const Facts& facts, const MailSettings& settings, const Knowledge& knowledge)
{
    const Case c = case_of(facts, settings);
    if (auto stop = address_removed(c)) // 1
        return *std::move(stop);
    if (auto stop = no_user(c)) // 2
        return *std::move(stop);
    const Deciding deciding = deciding_mode(c);
    if (auto stop = mode_not_configured(c, deciding)) // 3
        return *std::move(stop);
    if (auto stop = mode_unavailable_on_cloud(c, deciding)) // 4
        return *std::move(stop);
    if (auto stop = desktop(c, deciding)) // 5
        return *std::move(stop);
    const Sender sender = sender_in(c, deciding.mode);
    if (auto stop = config_incomplete(c, sender)) // 6
        return *std::move(stop);
    if (auto stop = cleartext_password(c, sender)) // 7
        return *std::move(stop);
    if (auto stop = account_stopped(c, sender, knowledge)) // 8
        return *std::move(stop);
    Identity identity = identity_of(sender);
    if (auto stop = pair_stopped(c, identity, knowledge)) // 9
        return *std::move(stop);
    return send(c, std::move(identity), knowledge); // 10
}

Hold refused_login(const Identity& identity, HoldReason reason)
{
    const auto kind = identity.owner.kind == Owner::Kind::user ? Subject::Kind::user : Subject::Kind::general;
    return {reason, {Subject{kind, identity.owner.id, identity.owner_code, {}}}};
}

Hold refused_sender(const Identity& identity)
{
    const auto kind = identity.owner.kind == Owner::Kind::user ? Subject::Kind::user : Subject::Kind::general;
    return {HoldReason::send_as_denied,
            {Subject{kind, identity.owner.id, identity.owner_code, identity.paired_as}, identity.from_setting}};
}

RefusedPair pair_of(const Identity& identity)
{
    return {Mode::smtp, identity.paired_as, identity.from.address};
}

std::optional<Hold> identity_changed(const PinnedIdentity& pinned, const Identity& now)
{
    if (pinned.from == now.from && pinned.sender == now.sender)
        return {};
    const auto shown = [](const NamedAddress& from, const std::optional<MailAddress>& sender) {
        return Subject{Subject::Kind::message,
                       0,
                       {},
                       to_string(from) + (sender ? " (Sender " + sender->written() + ")" : std::string())};
    };
    return Hold{HoldReason::identity_changed, {shown(pinned.from, pinned.sender), shown(now.from, now.sender)}};
}

} // namespace mailroom::rules
