#include "service/rules/resolve_sender.hpp"

#include "service/rules/case.hpp"
#include "service/rules/desktop.hpp"
#include "service/rules/identity.hpp"
#include "service/rules/labels.hpp"
#include "service/rules/sender.hpp"
#include "service/rules/tracing.hpp"

#include <algorithm>

namespace mailroom::rules {
namespace {

Sender sender_in(const Case& c, Mode mode)
{
    if (c.category == Category::standard)
        return sender_of(*c.user, mode, c.settings.general, c.knowledge);
    if (c.category == Category::mobile)
        return sender_for_mobile(c.settings.general, c.knowledge);
    return sender_for(*c.kind, linked_kind(c), c.settings.general, c.knowledge);
}

std::vector<Subject> missing_fields(const Sender& sender)
{
    const bool smtp = sender.mode == Mode::smtp;
    const bool logs_in = !smtp || sender.server->login;
    // With office365 the From may come from the mailbox, which only the sign-in tells; a Row's or Model's never does.
    const bool is_linked =
        sender.from_subject.kind == Subject::Kind::row || sender.from_subject.kind == Subject::Kind::model;
    const bool needs_from = smtp || is_linked || (!sender.account.empty() && sender.is_signed_in());
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
    if (!c.is_linked() || (c.kind && !is_blank(c.kind->from)))
        return {};
    const bool row = c.category == Category::mass;
    Subject subject{linked_kind(c), (row ? c.facts.row : c.facts.model).value_or(0),
                    c.kind ? c.kind->code : std::string(), std::string(row ? label::row_from : label::model_from)};
    return held(c, 10, HoldReason::address_removed, {std::move(subject)});
}

std::optional<Decision> no_user(const Case& c)
{
    if (c.category != Category::standard || c.has_usable_user())
        return {};
    return held(c, 1, HoldReason::no_user, {missing_user(c)});
}

std::optional<Decision> mode_not_configured(const Case& c, const Deciding& deciding)
{
    if (deciding.mode != Mode::not_configured)
        return {};
    const int linked = deciding.setting.kind == Subject::Kind::general ? 5 : 2;
    return held(c, number_for(c, {2, linked, 1}), HoldReason::mode_not_configured, {deciding.setting});
}

std::optional<Decision> mode_unavailable_on_cloud(const Case& c, const Deciding& deciding)
{
    if (c.settings.general.edition != Edition::cloud || !is_desktop(deciding.mode))
        return {};
    return held(c, 4, HoldReason::mode_unavailable_on_cloud, {deciding.setting});
}

std::optional<Decision> config_incomplete(const Case& c, const Sender& sender)
{
    std::vector<Subject> missing = missing_fields(sender);
    if (missing.empty())
        return {};
    const int standard = sender.mode == Mode::office365 ? 6 : 13;
    return held(c, number_for(c, {standard, 8, 3}), HoldReason::config_incomplete, std::move(missing));
}

std::optional<Decision> cleartext_password(const Case& c, const Sender& sender)
{
    const SmtpServer& server = *sender.server;
    if (sender.mode != Mode::smtp || !server.login || server.allow_cleartext || security_of(server) != Security::none)
        return {};
    Subject subject = sender.server_subject;
    subject.field = sender.ssl_label;
    return held(c, number_for(c, {13, 8, 3}), HoldReason::cleartext_password, {std::move(subject)});
}

// S7, S8, S9: what the account's status says until somebody signs in.
std::optional<Decision> not_signed_in(const Case& c, const Sender& sender)
{
    if (sender.is_signed_in())
        return {};
    const auto stop = [&](int standard, HoldReason reason) {
        return held(c, number_for(c, {standard, 8, 3}), reason, {sender.subject});
    };
    switch (sender.state) {
    case AccountState::approval_required:
        return stop(8, HoldReason::admin_approval_required);
    case AccountState::revoked:
    case AccountState::idle:
        return stop(9, HoldReason::auth_required);
    default:
        return stop(7, HoldReason::auth_required);
    }
}

std::optional<Decision> account_stopped(const Case& c, const Sender& sender)
{
    if (sender.mode == Mode::office365) {
        if (auto stop = not_signed_in(c, sender))
            return stop;
        const bool for_another = !sender.address || *sender.address != sender.from->address;
        if (!sender.lacks_sending_for_others || !for_another)
            return {};
        return held(c, number_for(c, {10, 8, 3}), HoldReason::consent_missing, {sender.subject});
    }
    const auto refused = c.knowledge.refused_logins.find(sender.owner);
    if (!sender.server->login || refused == c.knowledge.refused_logins.end())
        return {};
    return held(c, number_for(c, {14, 8, 3}), refused->second, {sender.subject});
}

std::optional<Decision> pair_stopped(const Case& c, const Identity& identity)
{
    const RefusedPair pair = pair_of(identity);
    const auto same = [&](const RefusedPair& refused) {
        return refused.mode == pair.mode && refused.account == pair.account && refused.from == pair.from;
    };
    if (std::ranges::none_of(c.knowledge.refused_pairs, same))
        return {};
    return Decision{row_name(c, number_for(c, {15, 9, 3})), refused_sender(identity)};
}

// Without the key a stored secret is as good as none, and without a transport a sign-in; neither says anything of the
// account, so they come last.
Decision send(const Case& c, Identity identity)
{
    const bool office365 = identity.mode == Mode::office365;
    const int own_or_inherited = c.user && c.user->mode ? 11 : 12;
    const int row = number_for(c, {office365 ? 10 : own_or_inherited, office365 ? 7 : 6, 2});
    const bool sealed_otherwise = c.knowledge.sealed_otherwise.contains(identity.password_owner);
    if (identity.password && (c.knowledge.key_missing || sealed_otherwise))
        return held(c, row, HoldReason::key_missing, {subject_of_general()});
    if (office365 && !c.knowledge.carries.office365)
        return held(c, row, HoldReason::auth_required, {subject_of_owner(identity)});
    return {row_name(c, row), std::move(identity)};
}

Decision decide_on(const Case& c, Trace* trace)
{
    trace_case(trace, c);
    if (auto stop = address_removed(c)) // 1
        return *std::move(stop);
    trace_user(trace, c);
    if (auto stop = no_user(c)) // 2
        return *std::move(stop);
    const Deciding deciding = deciding_mode(c);
    trace_mode(trace, c, deciding);
    if (auto stop = mode_not_configured(c, deciding)) // 3
        return *std::move(stop);
    trace_edition(trace, c, deciding);
    if (auto stop = mode_unavailable_on_cloud(c, deciding)) // 4
        return *std::move(stop);
    trace_desktop(trace, c, deciding);
    if (auto answer = by_desktop(c, deciding)) // 5
        return *std::move(answer);
    const Sender sender = sender_in(c, deciding.mode);
    trace_fields(trace, c, sender);
    if (auto stop = config_incomplete(c, sender)) // 6
        return *std::move(stop);
    trace_cleartext(trace, sender);
    if (auto stop = cleartext_password(c, sender)) // 7
        return *std::move(stop);
    trace_account(trace, c, sender);
    if (auto stop = account_stopped(c, sender)) // 8
        return *std::move(stop);
    Identity identity = identity_of(sender);
    trace_pair(trace, identity);
    if (auto stop = pair_stopped(c, identity)) // 9
        return *std::move(stop);
    trace_sending(trace, sender, identity);
    return send(c, std::move(identity)); // 10
}

} // namespace

Decision resolve_sender(const Facts& facts, const MailSettings& settings, const Knowledge& knowledge, Trace* trace)
{
    Decision decision = decide_on(case_of(facts, settings, knowledge), trace);
    trace_answer(trace, decision);
    return decision;
}

} // namespace mailroom::rules
