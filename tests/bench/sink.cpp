// An SMTP server that accepts and forgets, for measurements: as fast as Postfix's smtp-sink, and with what that lacks:
// STARTTLS or implicit TLS, commands behind the final dot told apart, the time of each 250. No login, no refusals.
// At SIGTERM it prints its counters as one line of JSON.
#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;

enum class Tls { none, starttls, implicit };

struct Options {
    unsigned short port = 0;
    Tls tls = Tls::none;
    bool pipelining = true; // offered; the commands behind a dot are taken in any case
    std::string cert_file;
    std::string key_file;
    std::string log_file; // CLOCK_MONOTONIC in ns, a tab and the subject, for each message
};

struct Counters {
    long connections = 0;
    long resumed = 0; // TLS sessions
    long messages = 0;
    long octets = 0; // of content
    long behind = 0; // messages whose dot came together with what follows it
    int at_once = 0; // most messages between their DATA and their dot
    int now = 0;
};

struct Sink {
    Options options;
    Counters counters;
    ssl::context* tls = nullptr;
    std::FILE* log = nullptr;
};

long long monotonic_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1'000'000'000LL * now.tv_sec + now.tv_nsec;
}

bool begins(std::string_view line, std::string_view verb)
{
    return line.size() >= verb.size() && strncasecmp(line.data(), verb.data(), verb.size()) == 0;
}

// ---- The protocol, without I/O --------------------------------------------------------------------------------------

class Protocol {
public:
    Protocol(Sink& sink, bool offers_starttls) : sink_(sink), offers_starttls_(offers_starttls) {}
    Protocol(const Protocol&) = delete;
    Protocol& operator=(const Protocol&) = delete;
    ~Protocol() { leave_content(); }

    // Takes what is whole of `input` and adds the replies; how many octets were taken.
    std::size_t take(std::string_view input, std::string& replies);

    bool wants_tls() const { return wants_tls_; }
    bool is_over() const { return over_; }
    void on_tls() { wants_tls_ = offers_starttls_ = false; }
    std::vector<std::string>& accepted() { return accepted_; } // the subjects of messages whose 250 is in the replies

private:
    std::size_t take_command(std::string_view input, std::string& replies);
    std::size_t take_content(std::string_view input, std::string& replies);
    void on_command(std::string_view line, std::string& replies);
    void capture_header(std::string_view content);
    std::string subject() const;

    void leave_content()
    {
        sink_.counters.now -= in_content_ ? 1 : 0;
        in_content_ = false;
    }

    Sink& sink_;
    bool offers_starttls_;
    bool wants_tls_ = false;
    bool over_ = false;
    bool in_content_ = false;
    std::string header_; // only where it is logged
    std::vector<std::string> accepted_;
};

std::size_t Protocol::take(std::string_view input, std::string& replies)
{
    std::size_t taken = 0;
    while (!wants_tls_ && !over_) {
        const std::string_view rest = input.substr(taken);
        const std::size_t more = in_content_ ? take_content(rest, replies) : take_command(rest, replies);
        if (more == 0)
            break;
        taken += more;
    }
    return taken;
}

std::size_t Protocol::take_command(std::string_view input, std::string& replies)
{
    const std::size_t end = input.find('\n');
    if (end == input.npos)
        return 0;
    on_command(input.substr(0, end), replies);
    // The line end of DATA stays: the dot of an empty content stands behind it as behind any other line.
    return in_content_ && end > 0 ? end - 1 : end + 1;
}

void Protocol::on_command(std::string_view line, std::string& replies)
{
    if (begins(line, "EHLO")) {
        replies += "250-sink.example.test\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n";
        if (sink_.options.pipelining)
            replies += "250-PIPELINING\r\n";
        if (offers_starttls_)
            replies += "250-STARTTLS\r\n";
        replies += "250 ENHANCEDSTATUSCODES\r\n";
    } else if (begins(line, "MAIL FROM:")) {
        replies += "250 2.1.0 Ok\r\n";
    } else if (begins(line, "RCPT TO:")) {
        replies += "250 2.1.5 Ok\r\n";
    } else if (begins(line, "DATA")) {
        replies += "354 End data with <CR><LF>.<CR><LF>\r\n";
        in_content_ = true;
        header_.clear();
        sink_.counters.at_once = std::max(sink_.counters.at_once, ++sink_.counters.now);
    } else if (begins(line, "STARTTLS") && offers_starttls_) {
        replies += "220 2.0.0 Ready to start TLS\r\n";
        wants_tls_ = true;
    } else if (begins(line, "QUIT")) {
        replies += "221 2.0.0 Bye\r\n";
        over_ = true;
    } else if (begins(line, "HELO") || begins(line, "RSET") || begins(line, "NOOP")) {
        replies += "250 2.0.0 Ok\r\n";
    } else {
        replies += "502 5.5.1 Not implemented\r\n";
    }
}

std::size_t Protocol::take_content(std::string_view input, std::string& replies)
{
    constexpr std::string_view dot = "\r\n.\r\n";
    const auto* found = static_cast<const char*>(memmem(input.data(), input.size(), dot.data(), dot.size()));
    const bool whole = found != nullptr;
    const std::size_t kept = std::min(input.size(), dot.size() - 1); // may be the dot's beginning
    const std::size_t taken = whole ? static_cast<std::size_t>(found - input.data()) + dot.size() : input.size() - kept;
    if (sink_.log != nullptr)
        capture_header(input.substr(0, taken));
    sink_.counters.octets += static_cast<long>(taken);
    if (whole) {
        replies += "250 2.0.0 Ok: accepted and forgotten\r\n";
        ++sink_.counters.messages;
        sink_.counters.behind += taken < input.size() ? 1 : 0;
        if (sink_.log != nullptr)
            accepted_.push_back(subject());
        leave_content();
    }
    return taken;
}

void Protocol::capture_header(std::string_view content)
{
    constexpr std::size_t enough = 8192;
    if (header_.size() < enough)
        header_ += content.substr(0, enough - header_.size());
}

std::string Protocol::subject() const
{
    constexpr std::string_view name = "\r\nSubject: ";
    const std::size_t at = header_.find(name);
    if (at == header_.npos)
        return {};
    const std::size_t begin = at + name.size();
    return header_.substr(begin, header_.find('\r', begin) - begin);
}

// ---- One session ----------------------------------------------------------------------------------------------------

class Session {
public:
    Session(Sink& sink, tcp::socket socket)
        : sink_(sink), socket_(std::move(socket)), protocol_(sink, sink.options.tls == Tls::starttls)
    {
        ++sink_.counters.connections;
    }

    // Ends by an exception where the client just goes.
    asio::awaitable<void> run()
    {
        socket_.set_option(tcp::no_delay(true));
        if (sink_.options.tls == Tls::implicit)
            co_await handshake();
        replies_ = "220 sink.example.test ESMTP\r\n";
        for (;;) {
            if (!replies_.empty())
                co_await answer();
            if (protocol_.is_over())
                co_return;
            if (protocol_.wants_tls()) {
                filled_ = 0; // RFC 3207 section 4.2
                co_await handshake();
                protocol_.on_tls();
            }
            const asio::mutable_buffer room(buffer_.data() + filled_, buffer_.size() - filled_);
            filled_ += co_await read(room);
            digest();
            if (filled_ == buffer_.size()) // a line without an end
                co_return;
        }
    }

private:
    asio::awaitable<void> handshake()
    {
        stream_.emplace(socket_, *sink_.tls);
        co_await stream_->async_handshake(ssl::stream_base::server, asio::use_awaitable);
        sink_.counters.resumed += SSL_session_reused(stream_->native_handle()) == 1 ? 1 : 0;
    }

    asio::awaitable<void> answer()
    {
        const asio::const_buffer all = asio::buffer(replies_);
        co_await write(all);
        replies_.clear();
        if (protocol_.accepted().empty())
            co_return;
        const long long now = monotonic_ns();
        for (const std::string& subject : protocol_.accepted())
            std::fprintf(sink_.log, "%lld\t%s\n", now, subject.c_str());
        std::fflush(sink_.log);
        protocol_.accepted().clear();
    }

    asio::awaitable<std::size_t> read(asio::mutable_buffer room)
    {
        return stream_ ? stream_->async_read_some(room, asio::use_awaitable)
                       : socket_.async_read_some(room, asio::use_awaitable);
    }

    asio::awaitable<std::size_t> write(asio::const_buffer all)
    {
        return stream_ ? asio::async_write(*stream_, all, asio::use_awaitable)
                       : asio::async_write(socket_, all, asio::use_awaitable);
    }

    void digest()
    {
        const std::size_t taken = protocol_.take({buffer_.data(), filled_}, replies_);
        filled_ -= taken;
        std::memmove(buffer_.data(), buffer_.data() + taken, filled_);
    }

    Sink& sink_;
    tcp::socket socket_;
    std::optional<ssl::stream<tcp::socket&>> stream_;
    Protocol protocol_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{256} << 10);
    std::size_t filled_ = 0;
    std::string replies_;
};

asio::awaitable<void> serve(std::unique_ptr<Session> session)
{
    co_await session->run();
}

asio::awaitable<void> listen(Sink& sink, tcp::acceptor& acceptor)
{
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        auto session = std::make_unique<Session>(sink, std::move(socket));
        // A client that goes away is nothing to tell.
        asio::co_spawn(acceptor.get_executor(), serve(std::move(session)), [](const std::exception_ptr&) {});
    }
}

Options options_of(int argc, char** argv)
{
    Options options;
    CLI::App app("Accepts mail and forgets it");
    const std::map<std::string, Tls> words{
        {"none", Tls::none}, {"starttls", Tls::starttls}, {"implicit", Tls::implicit}};
    app.add_option("port", options.port, "of 127.0.0.1")->required();
    app.add_option("--tls", options.tls)->transform(CLI::CheckedTransformer(words));
    app.add_option("--cert", options.cert_file, "PEM");
    app.add_option("--key", options.key_file, "PEM");
    app.add_option("--log", options.log_file, "the time of each 250 and the subject");
    app.add_flag("!--no-pipelining", options.pipelining, "PIPELINING is not offered");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        std::exit(app.exit(error));
    }
    return options;
}

void print(const Counters& counted)
{
    std::printf("{\"connections\": %ld, \"resumed\": %ld, \"messages\": %ld, \"octets\": %ld, \"behind\": %ld, "
                "\"at_once\": %d}\n",
                counted.connections, counted.resumed, counted.messages, counted.octets, counted.behind,
                counted.at_once);
}

} // namespace

int main(int argc, char** argv)
try {
    Sink sink;
    sink.options = options_of(argc, argv);
    ssl::context tls(ssl::context::tls_server);
    if (sink.options.tls != Tls::none) {
        tls.use_certificate_chain_file(sink.options.cert_file);
        tls.use_private_key_file(sink.options.key_file, ssl::context::pem);
        sink.tls = &tls;
    }
    if (!sink.options.log_file.empty() && (sink.log = std::fopen(sink.options.log_file.c_str(), "w")) == nullptr) {
        std::perror(sink.options.log_file.c_str());
        return 2;
    }
    asio::io_context io(1);
    const tcp::endpoint here(asio::ip::address_v4::loopback(), sink.options.port);
    tcp::acceptor acceptor(io, here);
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code&, int) { io.stop(); });
    asio::co_spawn(io, listen(sink, acceptor), asio::detached);
    io.run();
    print(sink.counters);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "bench_sink: %s\n", error.what());
    return 1;
}
