// The seam between the dispatcher and what carries mail: SMTP here, Microsoft Graph later, nothing at all in
// benchmarks.
#pragma once

#include "service/login.hpp"
#include "service/rules/resolve_sender.hpp"
#include "service/snapshot.hpp"
#include "transport/content.hpp"
#include "transport/outcome.hpp"
#include "transport/progress.hpp"
#include "transport/smtp/transaction.hpp"
#include "transport/smtp/trouble.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace mailroom {

// One message, composed.
struct Letter {
    const rules::Identity& identity;
    const smtp::Envelope& envelope;
    Content& content;
};

// A message that is begun at its server while the one before it is not settled yet, and of which no content went.
// Dropping it undoes that.
class Begun {
public:
    virtual ~Begun() = default;
};

// One message, ready to go. Everything must live until deliver() ends.
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): an aggregate of references, all of them given
struct Parcel : Letter {
    // Asked once, just before the octets that may commit the message: a loss means that they must not go.
    const std::function<boost::asio::awaitable<std::optional<smtp::Loss>>()>& before_commit;
    // Asked just before that, perhaps again for another try: which message may be begun behind this one. Never throws.
    const std::function<std::optional<Letter>()>& next;
    std::unique_ptr<Begun>& begun; // this message, by the delivery of the one before; at the end, `next`'s
    std::chrono::steady_clock::time_point expires = std::chrono::steady_clock::time_point::max(); // Cause::expired
    Progress* progress = nullptr;                                                                 // kept up to date
};

class Transport {
public:
    virtual ~Transport() = default;

    // Any number at the same time. Ends by itself; only stop() and abort() may end it sooner.
    virtual boost::asio::awaitable<Delivery> deliver(const Parcel& parcel) = 0;

    virtual void settings_changed(const Snapshot& snapshot) = 0;
    virtual void refusal_is_known(const Login& login) = 0; // all dispatchers know that this login was refused
    virtual boost::asio::awaitable<void> tidy() = 0;       // now and then: closes what is not needed any more
    virtual void stop() = 0;                           // ends what is not past its committing octet (Cause::stopped)
    virtual void abort() = 0;                          // ends everything: what is past it is in doubt
    virtual void give_up(const Progress& /*stuck*/) {} // ends the delivery with this one as far as it can
};

} // namespace mailroom
