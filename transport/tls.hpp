// What every TLS client of the service shares: which authorities it trusts, TLS 1.2 or later (RFC 8314 section 4.1),
// and that the server is who it should be. It opens no connection; smtp/wire and the HTTP client do.
#pragma once

#include "config/error.hpp"

#include <boost/system/error_code.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

struct ssl_st;         // OpenSSL's SSL
struct ssl_session_st; // and SSL_SESSION

namespace boost::asio::ssl {
class context;
}

namespace mailroom::tls {

class ClientContext {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Now = std::function<Time()>;

    // Ours: so long after a server's certificate was verified its sessions are of no use any more, and it is verified
    // again. Until then it may have expired, and its authority may have been taken out of the store.
    static constexpr std::chrono::seconds max_session_age = std::chrono::hours(1);

    // ca_file: authorities in PEM; empty: the system's store, which must have some. now: for the age of sessions.
    static Result<ClientContext> make(const std::string& ca_file = {}, Now now = &std::chrono::steady_clock::now);

    boost::asio::ssl::context& native() const { return *context_; }

    // Before the handshake: offers a session of an earlier connection with this server, which saves the exchange of
    // certificates (RFC 8446 section 2.2), and keeps those that it hands out. What was verified then was the same name
    // by the same authorities: a context knows no others. server: host:port. A connection that resumed hands out
    // sessions that are as old as the one that it offered.
    void resume(ssl_st* session, const std::string& server) const;

    // After a handshake that failed: if it had offered a session (true), that may be why. Then all of its server's are
    // forgotten, so that the next handshake is a full one.
    bool forget(ssl_st* session) const;

private:
    struct Sessions;
    ClientContext(std::shared_ptr<boost::asio::ssl::context> context, std::shared_ptr<Sessions> sessions)
        : sessions_(std::move(sessions)), context_(std::move(context))
    {}
    static int keep(ssl_st* session, ssl_session_st* ticket);

    std::shared_ptr<Sessions> sessions_;
    std::shared_ptr<boost::asio::ssl::context> context_;
};

// Before the handshake: names the host to the server (SNI) and asks that its certificate is for this host name or IP
// address (RFC 6125). False: OpenSSL refuses the name.
bool expect_host(ssl_st* session, const std::string& host);

// After a handshake: until when the server's certificate is in force. None: it says so in no way that can be read.
std::optional<std::chrono::sys_seconds> certificate_end(const ssl_st* session);

// After a handshake: its version and cipher and whose certificate it was, for people.
std::string describe(const ssl_st* session);

// After a failed handshake.
struct HandshakeTrouble {
    bool by_certificate = false; // not trusted, expired, of another host
    std::string text;
};
HandshakeTrouble explain(ssl_st* session, const std::string& host, boost::system::error_code error);

} // namespace mailroom::tls
