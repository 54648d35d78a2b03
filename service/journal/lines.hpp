// What a journal has in its lines, written and read back. Pure. One file is of one enrolment of one dispatcher; a
// message has a line when it is taken to be sent, one before the octets that may commit it, and one with what became of
// it.
#pragma once

#include "config/error.hpp"

#include "queue/store.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailroom::journal {

// The first line.
struct Header {
    queue::DispatcherId dispatcher = 0;
    std::string token;      // of its enrolment
    std::string database;   // its identity
    std::string boot;       // of the machine
    bool is_synced = false; // begun lines were on the disk before the octets went
    std::string host;
    std::int64_t pid = 0;
    std::string version; // of the program
};

std::string line_of(const Header& header);
std::string carried_line(const queue::Claimed& message);
// resend_after: if nobody learns what became of it; none: an operator decides.
std::string begun_line(const queue::Claimed& message, std::optional<std::chrono::milliseconds> resend_after);
std::string ended_line(std::string_view ending);                                       // JSON of queue::Ending
std::string put_back_line(std::int64_t settings_version, std::string_view suspension); // JSON of queue::Suspension

// A message under one lease.
struct Remembered {
    std::string uid;
    bool is_begun = false;
    std::optional<std::chrono::milliseconds> resend_after; // if it is
    enum class Outcome { none, ended, put_back } outcome = Outcome::none;
    std::int64_t settings_version = 0; // of what was put back
    std::string json;                  // of the outcome
};

struct Recollection {
    using Lease = std::pair<queue::MessageId, std::int32_t>; // with its number
    Header header;
    std::map<Lease, Remembered> messages;
    std::vector<Lease> taken; // to be sent, in this order
    int unreadable = 0;       // lines; the last one may have been cut off by the end of its writer
};

// Error: the text is no journal, or one of another version of mailroom.
Result<Header> read_header(std::string_view text);
Result<Recollection> recollect(std::string_view text);

} // namespace mailroom::journal
