#include "tests/support/scripted_peer.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <unistd.h>
#include <utility>

namespace mailroom::test {

namespace asio = boost::asio;
using asio::ip::tcp;

// ---- Certificates ---------------------------------------------------------------------------------------------------

namespace {

constexpr long day = 24L * 60 * 60; // seconds

template <class T, void (*release)(T*)>
struct Releaser {
    void operator()(T* object) const { release(object); }
};
using Key = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY, EVP_PKEY_free>>;
using X509Certificate = std::unique_ptr<X509, Releaser<X509, X509_free>>;

std::string text_of(BIO* bio)
{
    char* data = nullptr;
    const long size = BIO_ctrl(bio, BIO_CTRL_INFO, 0, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
}

void add_host(X509* certificate, const std::string& host)
{
    const bool is_address = host.find_first_not_of("0123456789.:") == std::string::npos;
    const std::string value = (is_address ? "IP:" : "DNS:") + host;
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

} // namespace

Certificate make_certificate(const std::string& host, Validity validity)
{
    const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    const X509Certificate certificate(X509_new());
    X509_set_version(certificate.get(), 2);
    static long serial = 0;
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -2 * day);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), validity == Validity::expired ? -day : day);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* name = X509_get_subject_name(certificate.get());
    const auto* text = reinterpret_cast<const unsigned char*>(host.c_str());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    add_host(certificate.get(), host);
    X509_sign(certificate.get(), key.get(), EVP_sha256());

    BIO* written_certificate = BIO_new(BIO_s_mem());
    BIO* written_key = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(written_certificate, certificate.get());
    PEM_write_bio_PrivateKey(written_key, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return {text_of(written_certificate), text_of(written_key)};
}

TemporaryFile::TemporaryFile(const std::string& octets)
{
    static std::atomic<int> count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("mailroom-test-" + std::to_string(getpid()) + "-" + std::to_string(++count));
    std::ofstream(path_, std::ios::binary) << octets;
}

TemporaryFile::~TemporaryFile()
{
    std::remove(path_.c_str());
}

// ---- The peer -------------------------------------------------------------------------------------------------------

namespace {

constexpr auto as_tuple = asio::as_tuple(asio::use_awaitable);

template <class... Ts>
struct Overloaded : Ts... {
    using Ts::operator()...;
};

Step as_step(const Answer& answer)
{
    return std::visit([](const auto& one) { return Step(one); }, answer);
}

} // namespace

struct ScriptedPeer::State : std::enable_shared_from_this<State> {
    explicit State(asio::io_context& io)
        : acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
          context(asio::ssl::context::tls_server),
          released(io, asio::steady_timer::time_point::max()),
          port(acceptor.local_endpoint().port())
    {}

    asio::awaitable<void> serve();
    asio::awaitable<void> serve_all();
    asio::awaitable<bool> step(const Step& step);
    asio::awaitable<bool> say(std::string octets);
    asio::awaitable<bool> dribble(std::string octets);
    asio::awaitable<bool> then(std::function<void()> call);
    asio::awaitable<bool> read_some();
    asio::awaitable<bool> read_line(std::string& line);
    asio::awaitable<bool> expect(std::string wanted);
    asio::awaitable<bool> read_content();
    asio::awaitable<bool> read_octets(std::size_t count);
    asio::awaitable<bool> start_tls();
    asio::awaitable<bool> await_end();
    asio::awaitable<bool> stall();
    asio::awaitable<bool> break_off();
    asio::awaitable<bool> close_in_order();
    asio::awaitable<bool> converse(Converse conversation);

    tcp::acceptor acceptor;
    asio::ssl::context context;
    asio::steady_timer released;
    std::uint16_t port;
    std::vector<Script> scripts;
    std::optional<tcp::socket> socket;
    std::optional<asio::ssl::stream<tcp::socket&>> tls;
    std::string unread;
    std::string heard;
    std::vector<std::string> complaints;
    std::size_t connections = 0;
    bool client_is_gone = false;
    bool done = false;
};

asio::awaitable<void> ScriptedPeer::State::serve()
{
    const auto self = shared_from_this();
    co_await serve_all();
    boost::system::error_code ignored;
    acceptor.close(ignored);
    done = true;
}

asio::awaitable<void> ScriptedPeer::State::serve_all()
{
    for (const Script& script : scripts) {
        auto [error, accepted] = co_await acceptor.async_accept(as_tuple);
        if (error)
            co_return;
        ++connections;
        tls.reset();
        socket.emplace(std::move(accepted));
        socket->set_option(tcp::no_delay(true));
        unread.clear();
        client_is_gone = false;
        for (const Step& scripted : script) {
            const bool went = co_await step(scripted);
            if (!went)
                break;
        }
        boost::system::error_code ignored;
        socket->close(ignored);
    }
}

asio::awaitable<bool> ScriptedPeer::State::step(const Step& step)
{
    return std::visit(
        Overloaded{
            [this](const Say& s) { return say(s.octets); }, [this](const Dribble& s) { return dribble(s.octets); },
            [this](const Flood& s) { return say(std::string(s.count, s.octet)); },
            [this](const Expect& s) { return expect(s.line); }, [this](const ReadContent&) { return read_content(); },
            [this](const ReadOctets& s) { return read_octets(s.count); },
            [this](const StartTls&) { return start_tls(); }, [this](const AwaitEnd&) { return await_end(); },
            [this](const Stall&) { return stall(); }, [this](const Break&) { return break_off(); },
            [this](const Close&) { return close_in_order(); }, [this](const Then& s) { return then(s.call); },
            [this](const Converse& s) { return converse(s); }},
        step);
}

asio::awaitable<bool> ScriptedPeer::State::say(std::string octets)
{
    boost::system::error_code error;
    if (tls) {
        const auto [failed, size] = co_await asio::async_write(*tls, asio::buffer(octets), as_tuple);
        error = failed;
    } else {
        const auto [failed, size] = co_await asio::async_write(*socket, asio::buffer(octets), as_tuple);
        error = failed;
    }
    co_return !error; // a client may well have gone
}

asio::awaitable<bool> ScriptedPeer::State::dribble(std::string octets)
{
    for (const char octet : octets) {
        const bool said = co_await say(std::string(1, octet));
        if (!said)
            co_return false;
    }
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::then(std::function<void()> call)
{
    call();
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::read_some()
{
    if (client_is_gone) // another read would wait for ever
        co_return false;
    std::array<char, 16384> octets;
    boost::system::error_code error;
    std::size_t size = 0;
    if (tls) {
        const auto [failed, read] = co_await tls->async_read_some(asio::buffer(octets), as_tuple);
        error = failed;
        size = read;
    } else {
        const auto [failed, read] = co_await socket->async_read_some(asio::buffer(octets), as_tuple);
        error = failed;
        size = read;
    }
    unread.append(octets.data(), size);
    heard.append(octets.data(), size);
    client_is_gone = static_cast<bool>(error);
    co_return !error;
}

asio::awaitable<bool> ScriptedPeer::State::read_line(std::string& line)
{
    std::size_t end = unread.find("\r\n");
    while (end == std::string::npos) {
        const bool more = co_await read_some();
        if (!more)
            co_return false;
        end = unread.find("\r\n");
    }
    line = unread.substr(0, end);
    unread.erase(0, end + 2);
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::expect(std::string wanted)
{
    std::string line;
    const bool read = co_await read_line(line);
    if (read && line.starts_with(wanted))
        co_return true;
    complaints.push_back(read ? "expected \"" + wanted + "\", heard \"" + line + "\""
                              : "the client was gone when \"" + wanted + "\" was expected");
    co_return false;
}

asio::awaitable<bool> ScriptedPeer::State::read_content()
{
    std::string line;
    while (line != ".") {
        const bool read = co_await read_line(line);
        if (!read) {
            complaints.push_back("the client was gone before the final dot");
            co_return false;
        }
    }
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::read_octets(std::size_t count)
{
    while (unread.size() < count) {
        const bool more = co_await read_some();
        if (!more)
            co_return false;
    }
    unread.clear();
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::start_tls()
{
    tls.emplace(*socket, context);
    const auto [error] = co_await tls->async_handshake(asio::ssl::stream_base::server, as_tuple);
    co_return !error; // the client says why it refused
}

asio::awaitable<bool> ScriptedPeer::State::await_end()
{
    bool open = true;
    while (open)
        open = co_await read_some();
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::stall()
{
    co_await released.async_wait(as_tuple);
    co_return true;
}

asio::awaitable<bool> ScriptedPeer::State::break_off()
{
    socket->set_option(asio::socket_base::linger(true, 0));
    boost::system::error_code ignored;
    socket->close(ignored);
    co_return false;
}

asio::awaitable<bool> ScriptedPeer::State::close_in_order()
{
    co_return false;
}

asio::awaitable<bool> ScriptedPeer::State::converse(Converse conversation)
{
    std::string line;
    for (;;) {
        const bool read = co_await read_line(line);
        if (!read)
            co_return false;
        const std::vector<Answer> answers = conversation.answer(line);
        for (const Answer& answer : answers) {
            const Step scripted = as_step(answer);
            const bool went = co_await step(scripted);
            if (!went || client_is_gone)
                co_return false;
        }
    }
}

ScriptedPeer::ScriptedPeer(asio::io_context& io, std::vector<Script> scripts, Certificate certificate, NewestTls newest)
    : state_(std::make_shared<State>(io))
{
    state_->scripts = std::move(scripts);
    if (newest == NewestTls::tls_1_2)
        SSL_CTX_set_max_proto_version(state_->context.native_handle(), TLS1_2_VERSION);
    if (!certificate.certificate.empty()) {
        state_->context.use_certificate_chain(asio::buffer(certificate.certificate));
        state_->context.use_private_key(asio::buffer(certificate.key), asio::ssl::context::pem);
    }
    asio::co_spawn(io, state_->serve(), asio::detached);
}

ScriptedPeer::~ScriptedPeer()
{
    stop_accepting();
}

std::uint16_t ScriptedPeer::port() const
{
    return state_->port;
}

const std::string& ScriptedPeer::heard() const
{
    return state_->heard;
}

const std::vector<std::string>& ScriptedPeer::complaints() const
{
    return state_->complaints;
}

std::size_t ScriptedPeer::connections() const
{
    return state_->connections;
}

bool ScriptedPeer::is_done() const
{
    return state_->done;
}

void ScriptedPeer::release()
{
    state_->released.cancel();
}

void ScriptedPeer::stop_accepting()
{
    boost::system::error_code ignored;
    state_->acceptor.close(ignored);
}

} // namespace mailroom::test
