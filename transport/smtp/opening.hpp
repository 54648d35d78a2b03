// From the connected socket to a session that takes mail: greeting, EHLO, STARTTLS, login. A state machine without I/O:
// it says what to do, connection.cpp does it and reports what came back.
#pragma once

#include "config/mail_settings.hpp"

#include "transport/outcome.hpp"
#include "transport/smtp/capabilities.hpp"
#include "transport/smtp/command.hpp"
#include "transport/smtp/reply.hpp"
#include "transport/smtp/trouble.hpp"

#include <cstddef>
#include <string>
#include <variant>

namespace mailroom::smtp {

enum class Cleartext { forbidden, allowed }; // of a login over a link without TLS

class Opening {
public:
    struct AwaitReply {};
    struct Send { // then await the reply; wipe it, it may hold the password
        std::string octets;
    };
    struct Handshake {}; // of TLS
    struct Opened {
        Capabilities capabilities;
    };
    struct Failed { // drop the link
        Outcome outcome;
    };
    using Action = std::variant<AwaitReply, Send, Handshake, Opened, Failed>;

    // credentials: null where the server asks for no login; must outlive this.
    Opening(Security security, const ClientName& client, const Credentials* credentials, Cleartext cleartext_login);

    Action begin(); // connected
    // octets_behind: how many had come behind this reply. Behind STARTTLS's they are an attack (RFC 3207 section 4.2).
    Action on_reply(const Reply& reply, std::size_t octets_behind);
    Action on_tls(); // the handshake succeeded
    Action on_lost(const Loss& loss) const;

    Stage stage() const;

private:
    enum class State {
        tls_first,
        greeting,
        ehlo,
        helo,
        starttls,
        tls,
        plain,
        plain_response,
        login,
        login_name,
        login_password
    };

    Action go(State state, Action action);
    Action on_ehlo(const Reply& reply);
    Action on_starttls(const Reply& reply, std::size_t octets_behind);
    Action log_in();
    Action on_auth(const Reply& reply);
    Action refuse(const Reply& reply) const;
    Action fail(Cause cause, Scope scope, const std::string& text) const;

    Security security_;
    const ClientName& client_;
    const Credentials* credentials_;
    Cleartext cleartext_login_;
    State state_ = State::greeting;
    bool encrypted_ = false;
    bool by_known_maker_ = false;
    Capabilities capabilities_; // of the last EHLO alone
};

} // namespace mailroom::smtp
