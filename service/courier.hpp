// Carries one message: composes it, gets a session, submits it, has the outcome judged and stored, and tells others
// what it means for them. Exceptions of one message end here.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/seal.hpp"
#include "service/completer.hpp"
#include "service/connections.hpp"
#include "service/job.hpp"
#include "service/outgoing.hpp"
#include "service/places.hpp"
#include "service/rules/decide.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <string>

namespace mailroom {

class Courier {
public:
    struct Needs {
        queue::DatabaseLane& reads;  // content
        queue::DatabaseLane& writes; // what contacts found out
        Connections& connections;
        Completer& completer;
        Places& places;
        const queue::SealingKey* key = nullptr;
        std::string domain; // of Message-IDs
        rules::Policy policy;
        std::function<void()> troubled; // this process cannot send for a while
        std::function<bool(queue::DispatcherId)>
            lease_is_trusted; // nothing new is begun under a lease that may be over
    };
    explicit Courier(Needs needs);

    struct Counts {
        std::uint64_t sent = 0;
        std::uint64_t failed = 0;
        std::uint64_t deferred = 0;
        std::uint64_t held = 0;
        std::uint64_t in_doubt = 0;
    };
    const Counts& counts() const { return counts_; }

    boost::asio::awaitable<void> carry(Job job);
    // Where nobody was found who could send it.
    boost::asio::awaitable<void> hold(queue::Claimed claimed, std::string table_row, rules::Hold hold,
                                      std::int64_t settings_version);
    void put_back(const queue::Claimed& claimed, std::chrono::milliseconds delay,
                  std::string note); // no note: not worth a line

    void stop();  // ends what is not past its final dot
    void abort(); // ends everything: what is past its final dot is in doubt

private:
    enum class Committing { no, yes }; // the octets with the final dot were handed out

    boost::asio::awaitable<void> attempt(const Job& job, const queue::MessageContent& content, Committing& committing);
    boost::asio::awaitable<Delivery> deliver(const Job& job, const queue::MessageContent& content,
                                             const Addressing& addressing, const mime::Message& message,
                                             Committing& committing);
    boost::asio::awaitable<void> settle(const Job& job, const Addressing& addressing, const Delivery& delivery,
                                        std::chrono::system_clock::time_point started);
    boost::asio::awaitable<void> spread(const Job& job, const Outcome& outcome, rules::Consequence consequence);
    boost::asio::awaitable<void> store(const queue::Claimed& claimed, const Attempted& attempted,
                                       const rules::Judgement& judgement, std::int64_t settings_version);
    Result<Login> login_of(const Job& job) const;
    void count(const rules::Judgement& judgement);
    double chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

    Needs needs_;
    std::mt19937_64 random_{std::random_device{}()};
    std::set<smtp::Connection*> sending_;
    bool stopping_ = false;
    Counts counts_;
};

} // namespace mailroom
