// What every TLS client of the service shares: which authorities it trusts, TLS 1.2 or later (RFC 8314 section 4.1),
// and that the server is who it should be. It opens no connection; smtp/wire and the HTTP client do.
#pragma once

#include "config/error.hpp"

#include <boost/system/error_code.hpp>

#include <memory>
#include <string>

struct ssl_st; // OpenSSL's SSL

namespace boost::asio::ssl {
class context;
}

namespace mailroom::tls {

class ClientContext {
public:
    // ca_file: authorities in PEM; empty: the system's store, which must have some.
    static Result<ClientContext> make(const std::string& ca_file = {});

    boost::asio::ssl::context& native() const { return *context_; }

private:
    explicit ClientContext(std::shared_ptr<boost::asio::ssl::context> context) : context_(std::move(context)) {}
    std::shared_ptr<boost::asio::ssl::context> context_;
};

// Before the handshake: names the host to the server (SNI) and asks that its certificate is for this host name or IP
// address (RFC 6125). False: OpenSSL refuses the name.
bool expect_host(ssl_st* session, const std::string& host);

// After a failed handshake.
struct HandshakeTrouble {
    bool by_certificate = false; // not trusted, expired, of another host
    std::string text;
};
HandshakeTrouble explain(ssl_st* session, const std::string& host, boost::system::error_code error);

} // namespace mailroom::tls
