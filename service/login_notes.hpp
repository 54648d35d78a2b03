// Keeps for people when a login last succeeded and which was refused (mailroom.account_status, `mailroom account
// list`). Pauses nothing: that is the refused logins' part. Used by the courier, on its thread.
#pragma once

#include "queue/database_lane.hpp"
#include "service/rules/resolve_sender.hpp"
#include "transport/outcome.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <map>
#include <string>

namespace mailroom {

class LoginNotes {
public:
    explicit LoginNotes(queue::DatabaseLane& writes) : writes_(writes) {}

    // Where the delivery logged in: written the first time, once something about the login changed, and then not for an
    // hour.
    boost::asio::awaitable<void> delivered(const rules::Identity& identity, const Delivery& delivery);
    boost::asio::awaitable<void> refused(const rules::Identity& identity, std::string words);

private:
    struct Good {
        SealedSecret password;
        std::string account;
        std::string host;
        std::chrono::steady_clock::time_point until; // then it is written anew
    };

    bool is_known(const rules::Identity& identity) const;

    queue::DatabaseLane& writes_;
    std::map<Owner, Good> good_;
};

} // namespace mailroom
