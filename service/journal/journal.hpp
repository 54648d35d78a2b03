// What a dispatcher leaves behind for the case that it dies: which messages it was about to send, which a server may
// have, and what became of them. Whoever takes its messages then need not take all of them for doubtful
// (docs/decisions/journal.md). Kept in a file, in the database, or nowhere. For one io_context thread.
#pragma once

#include "config/error.hpp"

#include "queue/store.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom {

class Journal {
public:
    virtual ~Journal() = default;

    // What of its messages the dispatcher marks in the queue while it lives: none, begun.
    virtual std::string_view marks() const { return "none"; }

    // Before anything is claimed under this enrolment. Error: nothing may be.
    virtual Result<void> enrolled(const queue::Enrolled& /*enrolment*/) { return {}; }

    // A message is worked on from now on.
    virtual void carried(const queue::Claimed& /*message*/) {}

    // Octets that may commit it are about to go. They must not if this answers with an error.
    // resend_after: if nobody learns what became of it; none: an operator decides.
    virtual boost::asio::awaitable<Result<void>> begun(const queue::Claimed& message,
                                                       std::optional<std::chrono::milliseconds> resend_after);

    // What became of a message, as it will be written to the database, in JSON.
    virtual void ended(queue::DispatcherId /*dispatcher*/, queue::MessageId /*message*/, std::int32_t /*lease_no*/,
                       std::string_view /*ending*/)
    {}
    virtual void put_back(queue::DispatcherId /*dispatcher*/, queue::MessageId /*message*/, std::int32_t /*lease_no*/,
                          std::int64_t /*settings_version*/, std::string_view /*suspension*/)
    {}
    // The database has it.
    virtual void settled(queue::DispatcherId /*dispatcher*/, queue::MessageId /*message*/, std::int32_t /*lease_no*/) {}

    virtual boost::asio::awaitable<void> run(); // until stop()
    virtual void stop() {}
};

} // namespace mailroom
