// Hands one message to the server of an open session. The other half of the SMTP client's face is connection.hpp.
#pragma once

#include "transport/content.hpp"
#include "transport/outcome.hpp"
#include "transport/smtp/connection.hpp"

#include <boost/asio/awaitable.hpp>

namespace mailroom::smtp {

// One at a time for each connection. connection, envelope and content must live until it ends. It ends by itself; only
// Connection::stop and abort may end it sooner, never the cancellation of its coroutine, which would lose the outcome.
boost::asio::awaitable<Delivery> submit(Connection& connection, const Envelope& envelope, Content& content,
                                        Hooks hooks = {});

} // namespace mailroom::smtp
