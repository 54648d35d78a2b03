#include "transport/smtp/wire.hpp"

#include "config/text.hpp"

#include "transport/tls.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace mailroom::smtp {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto as_tuple = asio::as_tuple(asio::use_awaitable);

Loss broken(std::string_view doing, error_code error)
{
    if (error == asio::error::eof || error == asio::ssl::error::stream_truncated)
        return {Cause::connection_lost, "the server closed the connection"};
    return {Cause::connection_lost, std::string(doing) + ": " + error.message()};
}

// getaddrinfo cannot be cancelled: whoever waits is let go at the deadline, the look-up ends by itself.
struct Lookup {
    explicit Lookup(const asio::any_io_executor& executor) : resolver(executor), end(executor) {}
    tcp::resolver resolver;
    asio::steady_timer end;
    bool done = false;
    error_code error;
    std::vector<tcp::endpoint> found;
};

bool is_host(std::string_view text)
{
    return !text.empty() && text.size() <= 255 &&
           std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7F; });
}

asio::awaitable<std::variant<std::vector<tcp::endpoint>, Loss>> resolve(const std::string& host, Port port,
                                                                        std::chrono::milliseconds limit)
{
    if (!is_host(host))
        co_return Loss{Cause::name_not_found, "\"" + printable(host, 100) + "\" is not the name of a server"};
    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    auto lookup = std::make_shared<Lookup>(executor);
    lookup->end.expires_after(limit);
    lookup->resolver.async_resolve(host, std::to_string(port.number()), tcp::resolver::numeric_service,
                                   [lookup](error_code error, const tcp::resolver::results_type& results) {
                                       lookup->done = true;
                                       lookup->error = error;
                                       lookup->found.assign(results.begin(), results.end());
                                       lookup->end.cancel();
                                   });
    co_await lookup->end.async_wait(as_tuple);
    if (!lookup->done) {
        lookup->resolver.cancel();
        co_return Loss{Cause::timed_out, "looking up the name " + host + " took too long"};
    }
    if (lookup->error)
        co_return Loss{Cause::name_not_found, "the name " + host + " was not found: " + lookup->error.message()};
    co_return std::move(lookup->found);
}

std::string in_words(const std::vector<tcp::endpoint>& endpoints)
{
    std::string text;
    for (const auto& endpoint : endpoints)
        text += (text.empty() ? "" : ", ") + endpoint.address().to_string();
    return text;
}

} // namespace

// One deadline serves every step. Its timer is only set when it would go off too late: most steps end long before.
struct Wire::Link : std::enable_shared_from_this<Link> {
    explicit Link(const asio::any_io_executor& executor) : socket(executor), arrival(executor), watchdog(executor) {}

    void expires_after(std::chrono::milliseconds limit);
    void arm();
    void cut(Loss why);
    void start_reading();
    void on_read(error_code error, std::size_t octets);

    tcp::socket socket;
    std::optional<asio::ssl::stream<tcp::socket&>> tls;
    std::optional<Loss> loss;
    bool ended = false; // the loss is all that there is to read

    std::array<char, 8192> landing{};
    std::string_view unread; // of landing
    bool reading = false;    // at most one read at a time; it is never cancelled while the link is good
    bool stop_writing_on_answer = false;
    std::size_t answer_is_due_after = never; // octets of the write under way, or of the last one
    std::size_t written = 0;                 // of them
    asio::steady_timer arrival;              // cancelled when a read ends

    asio::steady_timer watchdog;
    Clock::time_point deadline = Clock::time_point::max();
    Clock::time_point armed_for = Clock::time_point::max();
};

void Wire::Link::expires_after(std::chrono::milliseconds limit)
{
    deadline = Clock::now() + limit;
    if (deadline < armed_for)
        arm();
}

void Wire::Link::arm()
{
    armed_for = deadline;
    watchdog.expires_at(deadline);
    watchdog.async_wait([weak = weak_from_this()](error_code error) {
        const auto link = weak.lock();
        if (error || !link || link->loss)
            return;
        link->armed_for = Clock::time_point::max();
        if (Clock::now() >= link->deadline)
            link->cut({Cause::timed_out, "the server took too long to answer"});
        else if (link->deadline != Clock::time_point::max())
            link->arm();
    });
}

void Wire::Link::cut(Loss why)
{
    if (!loss)
        loss = std::move(why);
    error_code ignored;
    socket.close(ignored);
    watchdog.cancel();
    arrival.cancel();
}

void Wire::Link::start_reading()
{
    if (reading || loss)
        return;
    reading = true;
    const auto handler = [self = shared_from_this()](error_code error, std::size_t octets) {
        self->on_read(error, octets);
    };
    if (tls)
        tls->async_read_some(asio::buffer(landing), handler);
    else
        socket.async_read_some(asio::buffer(landing), handler);
}

void Wire::Link::on_read(error_code error, std::size_t octets)
{
    reading = false;
    unread = std::string_view(landing.data(), octets);
    if (stop_writing_on_answer && written < answer_is_due_after && !loss) {
        error_code ignored; // the write under way ends with broken_pipe and tells how far it came
        socket.shutdown(tcp::socket::shutdown_send, ignored);
    }
    if (error && !loss)
        loss = broken("reading from the server", error);
    arrival.cancel();
}

// ---- Connecting -----------------------------------------------------------------------------------------------------

Wire::Wire(std::shared_ptr<Link> link) : link_(std::move(link)) {}

Wire::~Wire()
{
    link_->cut({Cause::connection_lost, "closed"});
}

asio::awaitable<Wire::Reached> Wire::connect(const std::string& host, Port port, const Timeouts& timeouts, Trace* trace)
{
    if (trace != nullptr)
        trace->begin(Stage::resolve);
    auto resolved = co_await resolve(host, port, timeouts.resolve);
    if (auto* loss = std::get_if<Loss>(&resolved))
        co_return Unreachable{Stage::resolve, std::move(*loss)};
    auto& endpoints = std::get<std::vector<tcp::endpoint>>(resolved);
    endpoints.resize(std::min(endpoints.size(), max_addresses), {});
    if (trace != nullptr)
        trace->end(in_words(endpoints));

    const asio::any_io_executor executor = co_await asio::this_coro::executor;
    const auto end = Clock::now() + timeouts.connect;
    Loss loss{Cause::name_not_found, "the name " + host + " has no address"};
    for (std::size_t i = 0; i < endpoints.size(); ++i) {
        auto link = std::make_shared<Link>(executor);
        const std::string where = endpoints[i].address().to_string() + " port " + std::to_string(port.number());
        if (trace != nullptr)
            trace->begin(Stage::connect);
        const auto share = (end - Clock::now()) / static_cast<int>(endpoints.size() - i);
        link->expires_after(std::chrono::ceil<std::chrono::milliseconds>(share));
        const auto [error] = co_await link->socket.async_connect(endpoints[i], as_tuple);
        if (!error && !link->loss) {
            if (trace != nullptr)
                trace->end(where);
            error_code ignored;
            link->socket.set_option(tcp::no_delay(true), ignored);
            link->socket.non_blocking(true, ignored); // for is_alive
            link->deadline = Clock::time_point::max();
            co_return std::unique_ptr<Wire>(new Wire(std::move(link)));
        }
        if (link->loss)
            loss = {Cause::timed_out, "connecting to " + where + " took too long"};
        else
            loss = {Cause::connection_refused, "connecting to " + where + ": " + error.message()};
        link->cut(loss);
        if (trace != nullptr)
            trace->end(loss.text);
    }
    co_return Unreachable{Stage::connect, std::move(loss)};
}

asio::awaitable<std::optional<Loss>> Wire::handshake(const tls::ClientContext& context, const std::string& host,
                                                     Port port)
{
    Link& link = *link_;
    if (link.loss)
        co_return link.loss;
    link.unread = {};
    link.tls.emplace(link.socket, context.native());
    if (!tls::expect_host(link.tls->native_handle(), host)) {
        link.cut({Cause::tls_failed, "\"" + host + "\" is not a name that a certificate can be for"});
        co_return link.loss;
    }
    const std::string server = host + ":" + std::to_string(port.number());
    context.resume(link.tls->native_handle(), server);
    const auto [error] = co_await link.tls->async_handshake(asio::ssl::stream_base::client, as_tuple);
    if (error || link.loss)
        resumption_failed_ = context.forget(link.tls->native_handle());
    if (error && !link.loss) {
        tls::HandshakeTrouble trouble = tls::explain(link.tls->native_handle(), host, error);
        link.cut({trouble.by_certificate ? Cause::certificate : Cause::tls_failed, std::move(trouble.text)});
    }
    co_return link.loss;
}

// ---- Reading and writing --------------------------------------------------------------------------------------------

asio::awaitable<Wire::Answer> Wire::read_reply()
{
    Link& link = *link_;
    link.stop_writing_on_answer = false;
    if (link.ended)
        co_return *link.loss;
    for (;;) {
        auto reply = parser_.feed(link.unread);
        if (!reply) {
            link.cut({Cause::protocol_error, reply.error().text});
            co_return *link.loss;
        }
        if (reply->has_value())
            co_return **std::move(reply);
        if (link.loss && !link.reading) {
            link.cut(*link.loss);
            co_return *link.loss;
        }
        link.start_reading();
        link.arrival.expires_at(Clock::time_point::max());
        co_await link.arrival.async_wait(as_tuple);
    }
}

asio::awaitable<Wire::Written> Wire::write(std::string_view head, std::string_view tail,
                                           std::size_t answer_is_due_after)
{
    Link& link = *link_;
    if (link.loss || (link.stop_writing_on_answer && !link.unread.empty()))
        co_return Written{link.loss ? *link.loss : Loss{Cause::protocol_error, "the server answered before its turn"},
                          0};
    link.answer_is_due_after = answer_is_due_after;
    link.written = 0;
    const auto all = [&link](error_code failed, std::size_t so_far) {
        link.written = so_far;
        return asio::transfer_all()(failed, so_far);
    };
    error_code error;
    std::size_t written = 0;
    if (link.tls) {
        std::string_view octets = head;
        if (!tail.empty()) { // one record
            outbox_.assign(head);
            outbox_ += tail;
            octets = outbox_;
        }
        const auto [failed, size] = co_await asio::async_write(*link.tls, asio::buffer(octets), all, as_tuple);
        error = failed;
        written = size; // in whole records: of one that is not complete the server can read nothing
    } else {
        const std::array<asio::const_buffer, 2> octets{asio::buffer(head), asio::buffer(tail)};
        const auto [failed, size] = co_await asio::async_write(link.socket, octets, all, as_tuple);
        error = failed;
        written = size;
    }
    if (!error)
        co_return Written{};
    Written result{link.loss ? *link.loss : broken("writing to the server", error)};
    if (error != asio::error::operation_aborted) // what we closed ourselves may have been on its way
        result.at_most = written;
    co_return result;
}

void Wire::stop_writing_on_answer()
{
    link_->stop_writing_on_answer = true;
    link_->answer_is_due_after = never;
    if (link_->unread.empty())
        link_->start_reading();
}

void Wire::expires_after(std::chrono::milliseconds limit)
{
    link_->expires_after(limit);
}

void Wire::never_expires()
{
    link_->deadline = Clock::time_point::max();
}

// ---- State ----------------------------------------------------------------------------------------------------------

bool Wire::is_alive()
{
    Link& link = *link_;
    if (link.loss || link.reading || !link.unread.empty() || !parser_.is_between_replies())
        return false;
    if (link.tls) { // decrypted or not: nothing that came may wait inside
        SSL* session = link.tls->native_handle();
        if (SSL_has_pending(session) == 1 || BIO_ctrl_pending(SSL_get_rbio(session)) != 0)
            return false;
    }
    std::array<char, 1> octet{};
    error_code error;
    link.socket.receive(asio::buffer(octet), tcp::socket::message_peek, error);
    return error == asio::error::would_block || error == asio::error::try_again;
}

bool Wire::resumed_tls() const
{
    return link_->tls && SSL_session_reused(link_->tls->native_handle()) == 1;
}

std::string Wire::tls_in_words() const
{
    return link_->tls ? tls::describe(link_->tls->native_handle()) : std::string();
}

std::optional<std::chrono::sys_seconds> Wire::certificate_end() const
{
    return link_->tls ? tls::certificate_end(link_->tls->native_handle()) : std::nullopt;
}

std::size_t Wire::unread() const
{
    return link_->unread.size();
}

const std::optional<Loss>& Wire::loss() const
{
    return link_->loss;
}

void Wire::cut(Loss why)
{
    link_->cut(std::move(why));
}

void Wire::end(Loss why)
{
    link_->cut(std::move(why));
    link_->ended = true;
}

} // namespace mailroom::smtp
