// The bytes of one message on their way to a server, pulled piece by piece, so that a large attachment is never whole
// in memory. A seam: composed mail in the service, plain strings in tests.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string_view>

namespace mailroom {

class Content {
public:
    virtual ~Content() = default;

    // Octets in all, before dot-stuffing, exact before the first byte (RFC 1870 section 6.1).
    virtual std::uint64_t size() const = 0;

    // The next octets: whole lines ending in CRLF, so that a piece starts where a line does; empty at the end. Valid
    // until the next call. Throws when the source cannot be read: then nothing may be committed.
    virtual boost::asio::awaitable<std::string_view> next() = 0;
};

} // namespace mailroom
