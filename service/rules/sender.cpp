#include "service/rules/sender.hpp"

#include "service/rules/labels.hpp"

#include <algorithm>

namespace mailroom::rules {
namespace {

template <class T>
std::optional<T> optional_from(Result<T> result)
{
    return result ? std::optional(*std::move(result)) : std::nullopt;
}

const SealedSecret* stored(const std::optional<SealedSecret>& secret)
{
    return secret && !secret->empty() ? &*secret : nullptr;
}

// account; blank: email; blank: on cloud the code if it is an address. A malformed email is missing, and ends the
// chain.
std::string account_of(const User& user, Edition edition)
{
    if (!is_blank(user.account))
        return std::string(trimmed(user.account));
    if (!is_blank(user.email)) {
        const auto email = MailAddress::parse(user.email);
        return email ? email->written() : std::string();
    }
    if (edition == Edition::on_premise)
        return {};
    const auto code = MailAddress::parse(user.code);
    return code ? code->written() : std::string();
}

// The account if it is an address, otherwise the User's email.
std::optional<MailAddress> address_of(const std::string& account, std::string_view email)
{
    auto address = optional_from(MailAddress::parse(account));
    return address ? address : optional_from(MailAddress::parse(email));
}

// The setting; blank: the account's address. A malformed setting is missing, and ends the chain.
std::optional<NamedAddress> from_of(std::string_view setting, const std::optional<MailAddress>& address)
{
    if (!is_blank(setting))
        return optional_from(NamedAddress::parse(setting));
    return address ? std::optional(NamedAddress{{}, *address}) : std::nullopt;
}

// One group, never mixed: the users' own server where it is named, otherwise all of General's.
bool users_have_a_server(const General& general)
{
    return !is_blank(general.user_server.host);
}

// Another mailbox than the account: its sign-in serves nobody.
bool is_of_another(const AccountStatus& status, const std::string& account)
{
    if (status.account && *status.account != account)
        return true;
    const auto address = MailAddress::parse(account);
    if (!address || !status.mailbox || !status.aliases || *address == *status.mailbox)
        return false;
    return std::ranges::find(*status.aliases, *address) == status.aliases->end();
}

// With office365 the account's address is the mailbox that signed in.
void add_sign_in(Sender& sender, const Knowledge& knowledge)
{
    const auto found = knowledge.accounts.find(sender.owner);
    if (sender.mode != Mode::office365 || found == knowledge.accounts.end() ||
        is_of_another(found->second, sender.account))
        return;
    const AccountStatus& status = found->second;
    sender.state = status.state;
    sender.lacks_sending_for_others = status.lacks_sending_for_others;
    if (status.mailbox && sender.is_signed_in())
        sender.address = status.mailbox;
}

Sender shared_account(const General& general, const Knowledge& knowledge)
{
    Sender sender;
    sender.mode = general.mode;
    sender.owner = Owner::general();
    sender.subject = subject_of_general();
    sender.account = std::string(trimmed(general.account));
    sender.address = address_of(sender.account, {});
    sender.server = &general.server;
    sender.server_subject = subject_of_general();
    sender.ssl_label = label::use_ssl;
    sender.password = stored(general.password);
    sender.token = stored(general.token);
    sender.send_as = general.send_as;
    add_sign_in(sender, knowledge);
    return sender;
}

} // namespace

bool is_blank(std::string_view text)
{
    return trimmed(text).empty();
}

Sender sender_of(const User& user, Mode mode, const General& general, const Knowledge& knowledge)
{
    const bool inherits = !user.mode;
    Sender sender;
    sender.mode = mode;
    sender.owner = Owner::user(user.id);
    sender.subject = subject_of(user);
    sender.account = account_of(user, general.edition);
    sender.address = address_of(sender.account, user.email);
    sender.server = !inherits ? &user.server : users_have_a_server(general) ? &general.user_server : &general.server;
    sender.server_subject = inherits ? subject_of_general() : subject_of(user);
    sender.ssl_label = inherits && users_have_a_server(general) ? label::users_use_ssl : label::use_ssl;
    sender.password = stored(user.password);
    sender.token = stored(user.token);
    sender.send_as = user.send_as;
    add_sign_in(sender, knowledge);
    sender.from = from_of(user.from, sender.address);
    sender.from_subject = subject_of(user, label::from);
    return sender;
}

Sender sender_for_mobile(const General& general, const Knowledge& knowledge)
{
    Sender sender = shared_account(general, knowledge);
    sender.from = from_of(general.from, sender.address);
    sender.from_subject = subject_of_general(label::from);
    return sender;
}

Sender sender_for(const DocumentKind& kind, Subject::Kind which, const General& general, const Knowledge& knowledge)
{
    Sender sender = shared_account(general, knowledge);
    sender.from = optional_from(NamedAddress::parse(kind.from));
    sender.from_subject = subject_of(kind, which, which == Subject::Kind::row ? label::row_from : label::model_from);
    return sender;
}

Security security_of(const SmtpServer& server)
{
    constexpr int implicit_tls_port = 465; // RFC 8314 section 7.3
    if (!server.use_ssl)
        return Security::none;
    return server.port.number() == implicit_tls_port ? Security::implicit_tls : Security::starttls;
}

Subject subject_of(const User& user, std::string_view field)
{
    return {Subject::Kind::user, user.id, user.code, std::string(field)};
}

Subject subject_of(const DocumentKind& kind, Subject::Kind which, std::string_view field)
{
    return {which, kind.id, kind.code, std::string(field)};
}

Subject subject_of_general(std::string_view field)
{
    return {Subject::Kind::general, 0, {}, std::string(field)};
}

} // namespace mailroom::rules
