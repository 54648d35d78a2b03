// The link to one server: sockets, TLS, deadlines, and octets cut into replies. It knows nothing of what the replies
// mean. After the first Loss it is closed, and everything that waits on it ends with that Loss. One coroutine at a time
// uses it; `cut` may come from any other of the same thread.
#pragma once

#include "config/port.hpp"

#include "transport/smtp/reply.hpp"
#include "transport/smtp/timeouts.hpp"
#include "transport/smtp/trouble.hpp"
#include "transport/trace.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace mailroom::tls {
class ClientContext;
}

namespace mailroom::smtp {

class Wire {
public:
    static constexpr std::size_t max_addresses = 16; // tried of one name, ours

    struct Unreachable {
        Stage stage = Stage::connect; // or resolve
        Loss loss;
    };
    using Reached = std::variant<std::unique_ptr<Wire>, Unreachable>;
    // Tries the addresses of `host` one after the other; timeouts.connect is shared out among them.
    // trace: of its steps, as of all that follows; null: nobody asks.
    static boost::asio::awaitable<Reached> connect(const std::string& host, Port port, const Timeouts& timeouts,
                                                   Trace* trace = nullptr);

    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    // Verifies that the server is `host`. Octets read before are forgotten. port: whose sessions may be resumed.
    boost::asio::awaitable<std::optional<Loss>> handshake(const tls::ClientContext& context, const std::string& host,
                                                          Port port);
    bool resumed_tls() const;                                        // an earlier session, in the handshake
    std::optional<std::chrono::sys_seconds> certificate_end() const; // of the server's certificate; none: no TLS
    std::string tls_in_words() const;                                // empty: no TLS
    // The handshake was lost after it had offered an earlier session: a full one may succeed, as the next will be.
    bool resumption_failed() const { return resumption_failed_; }

    using Answer = std::variant<Reply, Loss>;
    boost::asio::awaitable<Answer> read_reply();

    struct Written {
        std::optional<Loss> loss;
        // The server cannot have got more octets than these.
        std::size_t at_most = std::numeric_limits<std::size_t>::max();
    };
    static constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
    // Both parts, as one. answer_is_due_after: so many of their octets; see stop_writing_on_answer.
    boost::asio::awaitable<Written> write(std::string_view head, std::string_view tail = {},
                                          std::size_t answer_is_due_after = never);

    // From now on octets that come are read at once, and writing ends as soon as one comes or the server closes: it
    // answers a message that it has not got in full. Until the next call of read_reply, or until the octets are out
    // after which its answer is due.
    void stop_writing_on_answer();

    void expires_after(std::chrono::milliseconds limit); // of all that follows, until the next call
    void never_expires();

    bool is_alive();            // a look at the socket without waiting: open, and nothing came
    std::size_t unread() const; // octets that came and were not asked for
    const std::optional<Loss>& loss() const;
    void cut(Loss why);
    void end(Loss why); // as well, and no reply is read any more that had come before

private:
    struct Link; // shared with the operations under way
    explicit Wire(std::shared_ptr<Link> link);

    std::shared_ptr<Link> link_;
    ReplyParser parser_;
    std::string outbox_; // for TLS, which encrypts what lies together
    bool resumption_failed_ = false;
};

} // namespace mailroom::smtp
