// Carries one message: composes it, gets a session, submits it, has the outcome judged and stored, and tells others
// what it means for them. Exceptions of one message end here.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/keyring.hpp"
#include "service/completer.hpp"
#include "service/content_reader.hpp"
#include "service/errand.hpp"
#include "service/events.hpp"
#include "service/job.hpp"
#include "service/journal/journal.hpp"
#include "service/login_notes.hpp"
#include "service/outgoing.hpp"
#include "service/places.hpp"
#include "service/route.hpp"
#include "service/rules/decide.hpp"
#include "service/rules/doubt.hpp"
#include "service/transport.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

namespace mailroom {

class Courier {
public:
    struct Needs {
        queue::DatabaseLane& reads;  // content
        queue::DatabaseLane& writes; // what contacts found out
        Transport& transport;
        Completer& completer;
        Places& places;
        Events& events;
        Journal& journal;
        const queue::Keyring* keys = nullptr;
        std::string domain; // of Message-IDs
        rules::Policy policy;
        rules::DoubtRules doubts;
        std::function<void()> troubled;            // this process cannot send for a while
        std::function<bool(const Job&)> holds;     // the job's lease, for certain
        std::function<bool(const Job&)> may_begin; // the same, and no newer settings are known
        // The job's account is in trouble for so long. The place of its route; none: the database cannot tell.
        using AccountTroubled = std::function<boost::asio::awaitable<std::optional<queue::PlaceId>>(
            const Job&, std::chrono::milliseconds, std::string)>;
        AccountTroubled account_troubled;
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

    // What one sender carries, one after the other.
    struct Round {
        Errand* carried = nullptr;                      // now
        std::function<std::optional<Job>()> pop_behind; // the dispatcher's: a job that may be begun behind this one
        std::unique_ptr<Errand> next;                   // what it gave; carried after this one
        std::chrono::steady_clock::time_point next_since;
        std::unique_ptr<Begun> begun; // `next`, or what is carried now, at its server
    };
    // How it went for the job's route.
    boost::asio::awaitable<Route::Ended> carry(Errand& errand, Round& round);
    // Where nobody was found who could send it.
    boost::asio::awaitable<void> hold(queue::Claimed claimed, std::string table_row, rules::Hold hold,
                                      queue::DecisionId decision, std::int64_t settings_version);
    void put_back(const queue::Claimed& claimed, std::chrono::milliseconds delay,
                  std::string note); // no note: not worth a line
    void park(const queue::Claimed& claimed, queue::PlaceId route, std::int64_t settings_version);

    void stop() { stopping_ = true; } // begins nothing new
    void follow(const rules::Policy& policy, rules::DoubtRules doubts)
    {
        needs_.policy = policy;
        needs_.doubts = std::move(doubts);
    }

private:
    enum class Committing { no, yes }; // the octets that may commit the message were handed out

    std::optional<Letter> next_letter(Round& round);
    boost::asio::awaitable<std::optional<smtp::Loss>> commit(const Job& job, Committing& committing);
    rules::Policy policy_for(const Job& job) const;
    boost::asio::awaitable<Route::Ended> attempt(Errand& errand, Round& round, Committing& committing);
    boost::asio::awaitable<void> doubt(const Job& job, const std::string& why);
    boost::asio::awaitable<Route::Ended> settle(const Job& job, const Addressing& addressing, const Delivery& delivery,
                                                std::chrono::system_clock::time_point started);
    boost::asio::awaitable<void> spread(const Job& job, const Outcome& outcome, rules::Consequence consequence);
    boost::asio::awaitable<void> store(const queue::Claimed& claimed, const Attempted& attempted,
                                       const rules::Judgement& judgement, std::int64_t settings_version,
                                       queue::PlaceId route = queue::unsorted);
    boost::asio::awaitable<void> pause_login(const rules::Identity& identity, std::string_view reason,
                                             std::string reply);
    boost::asio::awaitable<void> stop_sender(const rules::Identity& identity, std::string reply);
    void count(const rules::Judgement& judgement);
    double chance() { return std::uniform_real_distribution<double>(0, 1)(random_); }

    Needs needs_;
    ContentReader contents_;
    LoginNotes logins_;
    std::mt19937_64 random_{std::random_device{}()};
    bool stopping_ = false;
    Counts counts_;
};

} // namespace mailroom
