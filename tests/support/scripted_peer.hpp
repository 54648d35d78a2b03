// A mail server that does what a script says, octet by octet, on a port of 127.0.0.1: the peer of the SMTP client's
// tests. It runs on the test's own io_context and never waits for time. What went otherwise than scripted is in
// `complaints`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace mailroom::test {

struct Certificate { // PEM
    std::string certificate;
    std::string key;
};

enum class Validity { current, expired };

// Self-signed, so that the certificate itself serves as the authority that a client trusts. host: a name or an IP
// address.
Certificate make_certificate(const std::string& host, Validity validity = Validity::current);

// A file that is gone with its owner.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& octets);
    ~TemporaryFile();
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

// ---- The steps of a script ----

struct Say { // in one write
    std::string octets;
};
struct Dribble { // in a write for each octet
    std::string octets;
};
struct Flood { // `count` times the same octet
    char octet;
    std::size_t count;
};
struct Expect { // a line that starts with this
    std::string line;
};
struct ReadContent {}; // up to the lone dot
struct ReadOctets {    // at least so many, of whatever
    std::size_t count;
};
struct StartTls {};
struct AwaitEnd {}; // reads and says nothing until the client closes
struct Stall {};    // does not even read, until the test calls `release`
struct Break {};    // closes so that the client's next write or read fails
struct Close {};    // in order
struct Then {       // the test's own moment
    std::function<void()> call;
};
using Answer = std::variant<Say, StartTls, AwaitEnd, Break, Close>;
struct Converse { // answers line after line, until an answer ends the connection or the client is gone
    std::function<std::vector<Answer>(const std::string& line)> answer;
};
using Step = std::variant<Say, Dribble, Flood, Expect, ReadContent, ReadOctets, StartTls, AwaitEnd, Stall, Break, Close,
                          Then, Converse>;
using Script = std::vector<Step>; // at its end the connection is closed

enum class NewestTls { any, tls_1_2 };

class ScriptedPeer {
public:
    // One script for each connection, in order of their coming; then no more are accepted.
    ScriptedPeer(boost::asio::io_context& io, std::vector<Script> scripts, Certificate certificate = {},
                 NewestTls newest = NewestTls::any);
    ~ScriptedPeer();

    std::uint16_t port() const;
    const std::string& heard() const;                   // everything that the client said, in clear
    const std::vector<std::string>& complaints() const; // empty: all went as scripted
    std::size_t connections() const;                    // accepted so far
    bool is_done() const;                               // all scripts were played
    void release();                                     // ends the Stall that is under way, if any
    void stop_accepting();

private:
    struct State;
    std::shared_ptr<State> state_;
};

} // namespace mailroom::test
