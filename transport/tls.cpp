#include "transport/tls.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace mailroom::tls {
namespace {

std::string path_from(const char* variable, const char* fallback)
{
    const char* set = std::getenv(variable);
    return set != nullptr ? set : fallback;
}

// OpenSSL is content with a store that does not exist, and then trusts nobody.
bool has_system_store()
{
    std::error_code ignored;
    const std::filesystem::path file = path_from(X509_get_default_cert_file_env(), X509_get_default_cert_file());
    if (std::filesystem::is_regular_file(file, ignored))
        return true;
    const std::filesystem::path folder = path_from(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
    return std::filesystem::directory_iterator(folder, ignored) != std::filesystem::directory_iterator();
}

bool is_ip_address(const std::string& host)
{
    boost::system::error_code error;
    boost::asio::ip::make_address(host, error);
    return !error;
}

std::string wrong_with_certificate(long problem, const std::string& host)
{
    const std::string words = X509_verify_cert_error_string(problem);
    switch (problem) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "is not yet valid";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "is of another host and not of " + host;
    default:
        return "is not trusted: " + words;
    }
}

} // namespace

Result<ClientContext> ClientContext::make(const std::string& ca_file)
{
    auto context = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS); // idle connections hold 34 KiB less
    context->set_verify_mode(boost::asio::ssl::verify_peer);
    boost::system::error_code error;
    if (ca_file.empty()) {
        if (!has_system_store())
            return Error{
                "this machine has no certificate authorities: install them (Debian: ca-certificates), or name a "
                "file of them in the settings"};
        context->set_default_verify_paths(error);
    } else {
        context->load_verify_file(ca_file, error);
    }
    if (error)
        return Error{"the certificate authorities " + (ca_file.empty() ? "of this machine" : "in " + ca_file) +
                     " cannot be read: " + error.message()};
    return ClientContext(std::move(context));
}

bool expect_host(ssl_st* session, const std::string& host)
{
    X509_VERIFY_PARAM* wanted = SSL_get0_param(session);
    if (is_ip_address(host)) // SNI takes no addresses (RFC 6066 section 3)
        return X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1;
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // SSL_set_tlsext_host_name without its macro, which casts as C does. OpenSSL copies the name.
    char* name = const_cast<char*>(host.c_str()); // NOLINT(cppcoreguidelines-pro-type-const-cast)
    return X509_VERIFY_PARAM_set1_host(wanted, host.data(), host.size()) == 1 &&
           SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name) == 1;
}

HandshakeTrouble explain(ssl_st* session, const std::string& host, boost::system::error_code error)
{
    const long problem = SSL_get_verify_result(session);
    if (problem != X509_V_OK)
        return {true, "the certificate of " + host + " " + wrong_with_certificate(problem, host)};
    return {false, "no TLS with " + host + ": " + error.message()};
}

} // namespace mailroom::tls
