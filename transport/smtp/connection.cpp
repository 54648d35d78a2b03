#include "transport/smtp/connection.hpp"

#include "config/crash_point.hpp"
#include "config/text.hpp"

#include "transport/smtp/wire.hpp"
#include "transport/tls.hpp"

#include <optional>
#include <utility>

namespace mailroom::smtp {

namespace asio = boost::asio;

namespace {

asio::awaitable<Opening::Action> answered(Wire& wire, Opening& opening, Trace* trace)
{
    auto answer = co_await wire.read_reply();
    if (auto* loss = std::get_if<Loss>(&answer))
        co_return opening.on_lost(*loss);
    if (trace != nullptr)
        trace->end(words_of(std::get<Reply>(answer)));
    co_return opening.on_reply(std::get<Reply>(answer), wire.unread());
}

asio::awaitable<Opening::Action> sent(Wire& wire, Opening& opening, std::string octets, Trace* trace)
{
    co_await wire.write(octets);
    wipe(octets);
    // Also after a failed write: a 421 that came before the server closed says more than a broken pipe.
    auto next = co_await answered(wire, opening, trace);
    co_return next;
}

asio::awaitable<Opening::Action> encrypted(Wire& wire, Opening& opening, const Server& server,
                                           const OpenOptions& options)
{
    if (options.tls == nullptr)
        co_return opening.on_lost({Cause::tls_failed, "no certificate authorities are set up"});
    const std::optional<Loss> loss = co_await wire.handshake(*options.tls, server.host, server.port);
    if (!loss && options.trace != nullptr)
        options.trace->end(wire.tls_in_words());
    co_return loss ? opening.on_lost(*loss) : opening.on_tls();
}

// The only place that does what an Opening says.
asio::awaitable<Opening::Action> perform(Wire& wire, Opening& opening, Opening::Action action, const Server& server,
                                         const OpenOptions& options)
{
    wire.expires_after(limit_of(opening.stage(), options.timeouts));
    if (options.trace != nullptr)
        options.trace->begin(opening.stage());
    if (auto* send = std::get_if<Opening::Send>(&action))
        return sent(wire, opening, std::move(send->octets), options.trace);
    if (std::holds_alternative<Opening::Handshake>(action))
        return encrypted(wire, opening, server, options);
    return answered(wire, opening, options.trace);
}

} // namespace

std::string to_string(const Server& server)
{
    const bool ipv6 = server.host.find(':') != std::string::npos;
    return printable(ipv6 ? "[" + server.host + "]" : server.host, MailAddress::max_domain) + ":" +
           std::to_string(server.port.number());
}

Connection::Connection(std::unique_ptr<Wire> wire, Capabilities capabilities, std::string server,
                       const OpenOptions& options)
    : wire_(std::move(wire)),
      capabilities_(std::move(capabilities)),
      server_(std::move(server)),
      timeouts_(options.timeouts),
      pipelining_(options.pipelining),
      generation_(options.generation),
      trace_(options.trace)
{}

Connection::~Connection() = default;

bool Connection::is_alive()
{
    return reusable() && wire_->is_alive();
}

bool Connection::reusable() const
{
    return link_ != LinkState::unusable && !begun_ && !wire_->loss();
}

Pipelining Connection::pipelining() const
{
    if (!capabilities_.pipelining)
        return Pipelining::never;
    if (pipelining_ != Pipelining::automatic)
        return pipelining_;
    return capabilities_.by_known_maker ? Pipelining::next_message : Pipelining::message;
}

bool Connection::resumed_tls() const
{
    return wire_->resumed_tls();
}

std::optional<std::chrono::sys_seconds> Connection::certificate_end() const
{
    return wire_->certificate_end();
}

void Connection::stop()
{
    if (!past_the_dot_)
        wire_->cut({Cause::stopped, "stopped before the message was complete"});
}

void Connection::abort()
{
    wire_->cut({Cause::stopped, "the connection was cut by a stop"});
}

void Connection::give_up()
{
    wire_->cut({Cause::timed_out, "the delivery had not ended long after its limits"});
}

namespace {

struct Opened {
    OpenResult result;
    bool resumption_failed = false;
};

asio::awaitable<Opened> try_to_open(const Server& server, const Credentials* credentials, const OpenOptions& options)
{
    auto reached = co_await Wire::connect(server.host, server.port, options.timeouts, options.trace);
    if (auto* unreachable = std::get_if<Wire::Unreachable>(&reached))
        co_return Opened{outcome_of(unreachable->loss, unreachable->stage)};
    auto wire = std::move(std::get<std::unique_ptr<Wire>>(reached));

    Opening opening(server.security, options.client_name, credentials, options.cleartext_login);
    Opening::Action action = opening.begin();
    while (!std::holds_alternative<Opening::Opened>(action)) {
        if (auto* failed = std::get_if<Opening::Failed>(&action))
            co_return Opened{std::move(failed->outcome), wire->resumption_failed()};
        action = co_await perform(*wire, opening, std::move(action), server, options);
        crash_point("opened", to_string(opening.stage()));
    }
    wire->never_expires();
    co_return Opened{std::make_unique<Connection>(
        std::move(wire), std::move(std::get<Opening::Opened>(action).capabilities), to_string(server), options)};
}

// Servers behind one name that do not share their keys should decline a session (RFC 5246 section 7.3, RFC 8446 section
// 4.2.11), and some break off instead. A limit that was exceeded, and a certificate, would not be better a second time.
bool is_worth_a_full_handshake(const Opened& opened)
{
    const auto* const outcome = std::get_if<Outcome>(&opened.result);
    return outcome != nullptr && opened.resumption_failed && outcome->cause == Cause::tls_failed;
}

} // namespace

asio::awaitable<OpenResult> open(const Server& server, const Credentials* credentials, const OpenOptions& options)
{
    auto opened = co_await try_to_open(server, credentials, options);
    if (is_worth_a_full_handshake(opened)) // once: what was to be resumed is forgotten
        opened = co_await try_to_open(server, credentials, options);
    co_return std::move(opened.result);
}

asio::awaitable<void> close(std::unique_ptr<Connection> connection)
{
    if (!connection || !connection->reusable())
        co_return;
    Wire& wire = *connection->wire_;
    wire.expires_after(connection->timeouts_.quit);
    const std::string quit = command::quit();
    const Wire::Written written = co_await wire.write(quit);
    if (written.loss)
        co_return;
    co_await wire.read_reply();
}

} // namespace mailroom::smtp
