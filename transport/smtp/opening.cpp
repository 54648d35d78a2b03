#include "transport/smtp/opening.hpp"

#include "config/text.hpp"

#include <utility>

namespace mailroom::smtp {
namespace {

constexpr int go_on = 334; // RFC 4954 section 4

bool has_nul(const Credentials& credentials)
{
    return credentials.login.find('\0') != std::string::npos ||
           credentials.password.reveal().find('\0') != std::string_view::npos;
}

// The server rejects the mechanism and not the login. Only then may another be tried: a second try with a wrong
// password counts against the account.
bool is_about_the_mechanism(const Reply& reply)
{
    return reply.code == 504 || (reply.code == 534 && ascii_lower(reply.text()).find("mechanism") != std::string::npos);
}

} // namespace

Opening::Opening(Security security, const ClientName& client, const Credentials* credentials, Cleartext cleartext_login)
    : security_(security), client_(client), credentials_(credentials), cleartext_login_(cleartext_login)
{}

Opening::Action Opening::begin()
{
    if (security_ == Security::implicit_tls)
        return go(State::tls_first, Handshake{});
    return go(State::greeting, AwaitReply{});
}

Opening::Action Opening::on_tls()
{
    encrypted_ = true;
    if (state_ == State::tls_first)
        return go(State::greeting, AwaitReply{});
    capabilities_ = {}; // what was said in clear counts no more
    return go(State::ehlo, Send{command::ehlo(client_)});
}

Opening::Action Opening::on_reply(const Reply& reply, std::size_t octets_behind)
{
    switch (state_) {
    case State::greeting:
        if (!reply.is_done())
            return refuse(reply);
        by_known_maker_ = is_by_known_maker(reply);
        return go(State::ehlo, Send{command::ehlo(client_)});
    case State::ehlo:
        return on_ehlo(reply);
    case State::helo:
        if (!reply.is_done())
            return refuse(reply);
        return Opened{};
    case State::starttls:
        return on_starttls(reply, octets_behind);
    default:
        return on_auth(reply);
    }
}

Opening::Action Opening::on_ehlo(const Reply& reply)
{
    const bool helo_will_do = security_ != Security::starttls && credentials_ == nullptr;
    if (reply.category() == 5 && helo_will_do) // RFC 5321 section 3.2
        return go(State::helo, Send{command::helo(client_)});
    if (!reply.is_done())
        return refuse(reply);
    capabilities_ = parse_capabilities(reply);
    capabilities_.by_known_maker = by_known_maker_;
    if (security_ != Security::starttls || encrypted_)
        return log_in();
    if (!capabilities_.starttls) {
        state_ = State::starttls;
        return fail(Cause::tls_failed, Scope::server, "the server does not offer STARTTLS, which is required");
    }
    return go(State::starttls, Send{command::starttls()});
}

Opening::Action Opening::on_starttls(const Reply& reply, std::size_t octets_behind)
{
    if (!reply.is_done())
        return refuse(reply);
    if (octets_behind != 0)
        return fail(Cause::protocol_error, Scope::server,
                    "the server sent " + std::to_string(octets_behind) +
                        " octets in clear behind its reply to STARTTLS, as an attacker in between would");
    return go(State::tls, Handshake{});
}

Opening::Action Opening::log_in()
{
    if (credentials_ == nullptr)
        return Opened{capabilities_};
    state_ = State::plain;
    if (!encrypted_ && cleartext_login_ == Cleartext::forbidden)
        return fail(Cause::login_unavailable, Scope::account,
                    "the connection is not encrypted, and a password in clear is not allowed");
    if (has_nul(*credentials_))
        return fail(Cause::login_refused, Scope::account, "the login or the password contains a NUL (RFC 4616)");
    if (capabilities_.auth_plain)
        return go(State::plain, Send{command::auth_plain(*credentials_)});
    if (capabilities_.auth_login)
        return go(State::login, Send{command::auth_login()});
    return fail(Cause::login_unavailable, Scope::account,
                !capabilities_.auth
                    ? "the server offers no login (AUTH)"
                    : "the server offers the logins \"" + capabilities_.mechanisms + "\", and none of PLAIN and LOGIN");
}

Opening::Action Opening::on_auth(const Reply& reply)
{
    if (reply.is_done())
        return Opened{capabilities_};
    if (reply.code == go_on && state_ == State::plain)
        return go(State::plain_response, Send{command::auth_plain_response(*credentials_)});
    if (reply.code == go_on && state_ == State::login)
        return go(State::login_name, Send{command::auth_login_name(*credentials_)});
    if (reply.code == go_on && state_ == State::login_name)
        return go(State::login_password, Send{command::auth_login_password(*credentials_)});
    if (is_about_the_mechanism(reply) && state_ == State::plain && capabilities_.auth_login)
        return go(State::login, Send{command::auth_login()});
    return refuse(reply);
}

Opening::Action Opening::on_lost(const Loss& loss) const
{
    return Failed{outcome_of(loss, stage())};
}

Stage Opening::stage() const
{
    switch (state_) {
    case State::greeting:
        return Stage::greeting;
    case State::ehlo:
    case State::helo:
        return Stage::ehlo;
    case State::starttls:
        return Stage::starttls;
    case State::tls_first:
    case State::tls:
        return Stage::tls;
    default:
        return Stage::auth;
    }
}

Opening::Action Opening::go(State state, Action action)
{
    state_ = state;
    return action;
}

Opening::Action Opening::refuse(const Reply& reply) const
{
    return Failed{classify(stage(), reply)};
}

Opening::Action Opening::fail(Cause cause, Scope scope, const std::string& text) const
{
    return Failed{{Verdict::try_again, scope, cause, stage(), 0, {}, printable(text, max_text), {}}};
}

} // namespace mailroom::smtp
