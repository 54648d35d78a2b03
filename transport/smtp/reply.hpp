// A server's reply (RFC 5321 section 4.2) and the parser that finds it in octets as they come. No I/O; what a reply
// means is trouble.hpp's business.
#pragma once

#include "config/error.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::smtp {

struct Reply {
    int code = 0;                   // 200 to 599
    std::string enhanced;           // RFC 3463 status such as 5.7.1, of the code's class; empty: none
    std::vector<std::string> lines; // what follows the code, without the status; printable UTF-8

    int category() const { return code / 100; } // 2, 3, 4 or 5
    // The server did what the command asked. 221 is its farewell, whatever the command was.
    bool is_done() const { return category() == 2 && code != 221; }
    std::string text() const; // the lines as one, at most `max_text` octets
};

std::string words_of(const Reply& reply); // 535 5.7.8 wrong login or password

inline constexpr std::size_t max_text = 1024; // octets, as Outcome::text

// One for each connection: it keeps the beginning of a reply until its end comes. After an error it must not be used.
class ReplyParser {
public:
    static constexpr std::size_t max_line = 2048; // octets; RFC 5321 section 4.5.3.1.5 allows 512, servers exceed it
    static constexpr std::size_t max_lines = 100; // ours: the longest EHLO replies have about 20
    static constexpr std::size_t max_reply = 64 * 1024; // octets, ours

    // Takes octets off the front of `input`, up to the end of one reply and never beyond. None: all was taken and more
    // is needed. Error: this is no SMTP reply, or one beyond the limits.
    Result<std::optional<Reply>> feed(std::string_view& input);

    bool is_between_replies() const { return line_.empty() && reply_.lines.empty(); }

private:
    Result<bool> add_line(); // is it the reply's last?

    std::string line_; // as far as it came, without its LF
    Reply reply_;
    std::size_t size_ = 0; // octets of the reply so far
};

} // namespace mailroom::smtp
