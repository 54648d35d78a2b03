#include "transport/tls.hpp"

#include "config/text.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

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

struct Free {
    void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using Ticket = std::unique_ptr<SSL_SESSION, Free>;

} // namespace

// The sessions that servers handed out. Those of TLS 1.3 are used once (RFC 8446 appendix C.4).
struct ClientContext::Sessions {
    static constexpr std::size_t max_servers = 256;   // ours
    static constexpr std::size_t max_of_a_server = 8; // ours; servers hand out two to a connection

    explicit Sessions(Now clock) : now(std::move(clock)) {}

    struct Kept {
        Ticket ticket;
        Time verified; // when the server's certificate was: a session that is resumed hands out others without it
    };
    // What a connection carries along, for the time when tickets come.
    struct Note {
        std::shared_ptr<Sessions> sessions;
        std::string server;
        Time started;
        std::optional<Time> offered; // when what it offered was verified
    };
    static int note_index()
    {
        static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr,
                                                      [](void*, void* note, CRYPTO_EX_DATA*, int, long, void*) {
                                                          const std::unique_ptr<Note> freed(static_cast<Note*>(note));
                                                      });
        return index;
    }
    static Note* note_of(SSL* session) { return static_cast<Note*>(SSL_get_ex_data(session, note_index())); }

    void keep(const std::string& server, Ticket ticket, Time verified)
    {
        if (!kept.contains(server) && kept.size() >= max_servers)
            kept.erase(
                std::ranges::min_element(kept, {}, [](const auto& entry) { return entry.second.back().verified; }));
        auto& own = kept[server]; // the newest last
        if (own.size() >= max_of_a_server)
            own.pop_front();
        own.push_back({std::move(ticket), verified});
    }

    // When what it offers was verified; none: nothing is at hand.
    std::optional<Time> offer(SSL* session, const std::string& server)
    {
        const auto found = kept.find(server);
        if (found == kept.end())
            return std::nullopt;
        auto& own = found->second;
        std::erase_if(own, [oldest = now() - max_session_age](const Kept& one) { return one.verified < oldest; });
        std::optional<Time> verified;
        if (!own.empty()) {
            verified = own.back().verified;
            const Ticket offered(SSL_SESSION_dup(own.back().ticket.get())); // given up with its connection, see keep()
            SSL_set_session(session, offered.get());
            if (SSL_SESSION_get_protocol_version(offered.get()) >= TLS1_3_VERSION)
                own.pop_back();
        }
        if (own.empty())
            kept.erase(found);
        return verified;
    }

    Now now;
    std::map<std::string, std::deque<Kept>> kept; // by server; none is empty
};

// OpenSSL's, for each session that a server hands out. 0: we hold no reference to it. A copy, because SMTP closes
// without TLS's farewell, after which OpenSSL gives up the session itself; only TLS before 1.1 asked for that (RFC 4346
// section 7.2.1).
int ClientContext::keep(ssl_st* session, ssl_session_st* ticket)
{
    const auto* const note = Sessions::note_of(session);
    Ticket copy(note != nullptr && SSL_SESSION_is_resumable(ticket) == 1 ? SSL_SESSION_dup(ticket) : nullptr);
    if (!copy)
        return 0;
    const bool resumed = SSL_session_reused(session) == 1 && note->offered;
    note->sessions->keep(note->server, std::move(copy), resumed ? *note->offered : note->started);
    return 0;
}

void ClientContext::resume(ssl_st* session, const std::string& server) const
{
    auto note = std::make_unique<Sessions::Note>(Sessions::Note{sessions_, server, sessions_->now(), std::nullopt});
    Sessions::Note& placed = *note;
    if (SSL_set_ex_data(session, Sessions::note_index(), note.get()) != 1)
        return;                        // out of memory: a full handshake, of which nothing is kept
    static_cast<void>(note.release()); // freed with the session
    placed.offered = sessions_->offer(session, server);
}

bool ClientContext::forget(ssl_st* session) const
{
    const auto* const note = Sessions::note_of(session);
    if (note == nullptr || !note->offered)
        return false;
    sessions_->kept.erase(note->server);
    return true;
}

Result<ClientContext> ClientContext::make(const std::string& ca_file, Now now)
{
    auto context = std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS); // idle connections hold 34 KiB less
    SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->native_handle(), &ClientContext::keep);
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
    return ClientContext(std::move(context), std::make_shared<Sessions>(std::move(now)));
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

std::string describe(const ssl_st* session)
{
    std::string text = std::string(SSL_get_version(session)) + ", " + SSL_get_cipher_name(session);
    const X509* const certificate = SSL_get0_peer_certificate(session);
    std::array<char, 256> subject{};
    if (certificate != nullptr && X509_NAME_oneline(X509_get_subject_name(certificate), subject.data(),
                                                    static_cast<int>(subject.size())) != nullptr)
        text += ", certificate of " + printable(std::string_view(subject.data()), subject.size());
    return text;
}

std::optional<std::chrono::sys_seconds> certificate_end(const ssl_st* session)
{
    using namespace std::chrono;
    const X509* const certificate = SSL_get0_peer_certificate(session);
    std::tm end{};
    if (certificate == nullptr || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
        return std::nullopt;
    const auto date =
        year(end.tm_year + 1900) / (end.tm_mon + 1) / end.tm_mday; // always UTC (RFC 5280 section 4.1.2.5)
    return sys_days(date) + hours(end.tm_hour) + minutes(end.tm_min) + seconds(end.tm_sec);
}

HandshakeTrouble explain(ssl_st* session, const std::string& host, boost::system::error_code error)
{
    const long problem = SSL_get_verify_result(session);
    if (problem != X509_V_OK)
        return {true, "the certificate of " + host + " " + wrong_with_certificate(problem, host)};
    return {false, "no TLS with " + host + ": " + error.message()};
}

} // namespace mailroom::tls
