// What follows from an identity: as(account, from), what a contact makes known of it, and whether it may still change.
#include "service/rules/identity.hpp"

namespace mailroom::rules {
namespace {

Subject from_setting_of(const Sender& sender)
{
    Subject setting = sender.from_subject;
    setting.field = sender.from->address.written();
    return setting;
}

// message.from alone: the tenant's rights decide between "as" and "on behalf of".
Identity office365_identity(const Sender& sender)
{
    return {.mode = Mode::office365,
            .owner = sender.owner,
            .owner_code = sender.subject.code,
            .account = sender.account,
            .password = sender.token,
            .password_owner = sender.owner,
            .host = {},
            .port = *Port::make(443),
            .security = Security::implicit_tls,
            .from = *sender.from,
            .sender = {},
            .envelope_sender = sender.from->address,
            .from_setting = from_setting_of(sender),
            .paired_as = sender.account};
}

Identity smtp_identity(const Sender& sender)
{
    const SmtpServer& server = *sender.server;
    const MailAddress& from = sender.from->address;
    const bool for_another = sender.address && *sender.address != from && !sender.send_as;
    const std::string host(trimmed(server.host));
    return {.mode = Mode::smtp,
            .owner = sender.owner,
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
            .from_setting = from_setting_of(sender),
            .paired_as = sender.account.empty() ? host : sender.account};
}

} // namespace

Identity identity_of(const Sender& sender)
{
    return sender.mode == Mode::office365 ? office365_identity(sender) : smtp_identity(sender);
}

Subject subject_of_owner(const Identity& identity, std::string_view field)
{
    const auto kind = identity.owner.kind == Owner::Kind::user ? Subject::Kind::user : Subject::Kind::general;
    return {kind, identity.owner.id, identity.owner_code, std::string(field)};
}

Hold refused_login(const Identity& identity, HoldReason reason)
{
    return {reason, {subject_of_owner(identity)}};
}

Hold refused_sender(const Identity& identity)
{
    return {HoldReason::send_as_denied, {subject_of_owner(identity, identity.paired_as), identity.from_setting}};
}

RefusedPair pair_of(const Identity& identity)
{
    return {identity.mode, identity.paired_as, identity.from.address};
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
