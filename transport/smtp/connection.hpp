// The face of the SMTP client, with submit.hpp: open a session with a server, keep it for several messages, close it.
// It keeps no pool and repeats nothing; service does. All calls come from the one thread of the executor.
#pragma once

#include "config/mail_settings.hpp"
#include "config/port.hpp"

#include "transport/outcome.hpp"
#include "transport/progress.hpp"
#include "transport/smtp/capabilities.hpp"
#include "transport/smtp/command.hpp"
#include "transport/smtp/opening.hpp"
#include "transport/smtp/timeouts.hpp"
#include "transport/smtp/transaction.hpp"
#include "transport/smtp/trouble.hpp"
#include "transport/trace.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace mailroom {
class Content;
namespace tls {
class ClientContext;
}
} // namespace mailroom

namespace mailroom::smtp {

class Wire;

struct Server {
    std::string host; // a name or an IP address
    Port port = *Port::make(587);
    Security security = Security::starttls;
};

std::string to_string(const Server& server); // mail.example.com:587, [2001:db8::1]:25

struct OpenOptions {
    const tls::ClientContext* tls = nullptr; // must be there unless Security::none; used while opening only
    ClientName client_name;
    Timeouts timeouts = {};
    Cleartext cleartext_login = Cleartext::forbidden;
    Pipelining pipelining = Pipelining::automatic;
    int generation = 0;     // the caller's: of the settings that are here
    Trace* trace = nullptr; // of all that this session does; must outlive it
};

// What may go out behind the final dot of a message: the commands of the next one.
struct Following {
    Envelope envelope;
    std::uint64_t size = 0; // octets of its content, before dot-stuffing
};

// What submit asks of its caller.
struct Hooks {
    // Called once, just before the octets with the final dot are handed to the socket, for who keeps a journal. It may
    // take its time. If it answers with a loss, nothing was committed, and the delivery ends with that and its link; if
    // it throws, the exception goes on to the caller.
    std::function<boost::asio::awaitable<std::optional<Loss>>()> before_commit;
    // Called just before that, where the server and the settings allow it: the message whose commands go out behind the
    // dot; none: nothing is at hand. Must not throw.
    std::function<std::optional<Following>()> following;
    // After this the message must not go: what has not come to its dot ends with Cause::expired.
    std::chrono::steady_clock::time_point expires = std::chrono::steady_clock::time_point::max();
    Progress* progress = nullptr; // kept up to date
};

// A session that is ready for mail. Destroying it closes the link at once; close() says QUIT first.
class Connection {
public:
    Connection(std::unique_ptr<Wire> wire, Capabilities capabilities, std::string server, const OpenOptions& options);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    bool is_alive();       // before it is used again: the link is open and the server said nothing, such as a 421
    bool reusable() const; // after a message: in order, as far as we know
    // The commands of `following` went out behind the last message. Only the submission of a message with this envelope
    // and size goes on with it; for anything else the session is of no use any more, and closing it undoes what was
    // begun.
    bool has_begun() const { return begun_ != nullptr; }
    BrokeOff broke_off() const { return broke_off_; } // the last message
    bool resumed_tls() const;                         // the handshake went on from an earlier session with this server
    std::optional<std::chrono::sys_seconds> certificate_end() const; // of the server's certificate; none: no TLS
    void pipeline(Pipelining at_most) { pipelining_ = at_most; }
    Pipelining pipelining() const;                             // what it comes to with this server, so never automatic
    int messages_carried() const { return messages_carried_; } // transactions tried, whatever became of them
    const Capabilities& capabilities() const { return capabilities_; }
    const std::string& server() const { return server_; } // host:port
    int generation() const { return generation_; }        // that it was opened with

    // While submit runs. Before the octets with the final dot are handed to the socket, the link is cut and the
    // delivery ends with Cause::stopped; after that nothing happens, because the reply says whether the message was
    // taken.
    void stop();
    // Cuts the link whatever is under way; after the dot the message is then in doubt.
    void abort();
    void give_up(); // as well, where submit has not ended in its time: Cause::timed_out

private:
    struct Use; // of the link by one message
    struct Begun {
        Begun(Following following, const Capabilities& server)
            : envelope(std::move(following.envelope)),
              size(following.size),
              transaction(envelope, size, server, Pipelining::next_message, Reset::not_needed)
        {}
        bool is_of(const Envelope& other, std::uint64_t other_size) const; // to the letter
        Envelope envelope;
        std::uint64_t size;
        Transaction transaction;
    };
    std::string begin(Following following); // its first flight; empty: it goes out on its own
    void lose(const char* why);
    friend boost::asio::awaitable<Delivery> submit(Connection&, const Envelope&, Content&, Hooks);
    friend boost::asio::awaitable<void> close(std::unique_ptr<Connection>);

    std::unique_ptr<Wire> wire_;
    Capabilities capabilities_;
    std::string server_;
    Timeouts timeouts_;
    Pipelining pipelining_;
    int generation_;
    Trace* trace_;
    std::unique_ptr<Begun> begun_;
    LinkState link_ = LinkState::clean;
    BrokeOff broke_off_ = BrokeOff::no;
    int messages_carried_ = 0;
    bool past_the_dot_ = false;
};

// credentials: null where the server asks for no login. All arguments must live until it ends. Outcome: why there is no
// session. Every wait has a limit; who cannot wait so long may cancel the coroutine, which then throws
// operation_aborted. Connects a second time where the handshake broke off that was to resume an earlier session.
using OpenResult = std::variant<std::unique_ptr<Connection>, Outcome>;
boost::asio::awaitable<OpenResult> open(const Server& server, const Credentials* credentials,
                                        const OpenOptions& options);

// QUIT, for at most timeouts.quit, where the session is in order; then the link is closed without a TLS farewell:
// SMTP's own end is enough, and servers let one wait for theirs.
boost::asio::awaitable<void> close(std::unique_ptr<Connection> connection);

} // namespace mailroom::smtp
