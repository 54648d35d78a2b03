// This process's place among the dispatchers: it enrols, sends a heartbeat, and knows whether its leases can still be
// trusted.
#pragma once

#include "queue/database_lane.hpp"
#include "queue/store.hpp"
#include "service/events.hpp"
#include "service/journal/inheritance.hpp"
#include "service/journal/journal.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace mailroom {

class Enrollment {
public:
    // changed: called when the version of the settings may have risen, and when the enrolment did.
    Enrollment(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane,
               queue::Registration registration, std::string installation, Inheritance& inheritance, Journal& journal,
               Events& events, std::function<void()> changed);

    boost::asio::awaitable<void> run(); // until stop()
    boost::asio::awaitable<void> resign();
    void stop();

    // None while no lease could be held: not enrolled, the heartbeat late, or the database another installation's.
    std::optional<queue::DispatcherId> id() const;
    std::int64_t settings_version() const { return settings_version_; } // the newest one that the database named
    void settings_loaded(std::int64_t version)
    {
        settings_version_ = version;
    } // it may have been restored to an older one
    std::chrono::steady_clock::time_point beaten_at() const { return beaten_at_; } // the last beat that was answered
    void look() { wakeup_.wake(); } // something may have changed: beats at once, which tells

    void want_wake(bool wants); // whether an enqueue should notify; told at once when it changes

    void announce(std::string safety); // what others are to know of it; told at once

    // How it stands, and why it does not serve, in words.
    enum class Standing { starting, serving, no_database, refused };
    Standing standing() const { return id() ? Standing::serving : standing_; }
    const std::string& trouble() const { return trouble_; }
    std::chrono::steady_clock::time_point away_since() const { return wakeup_.away_since(); } // as Wakeup's

private:
    // No message is begun when less than this is left of the lease: ours, a tenth and at least the time of a round
    // trip.
    std::chrono::milliseconds margin() const { return registration_.lease / 10; }

    struct Look;  // at the database
    struct Entry; // what enrolling brought
    struct Pulse; // what a beat says
    struct Beaten;
    pg::DbResult<Look> look_at(pg::Connection& connection, const std::string& known) const;
    pg::DbResult<Entry> enter(pg::Connection& connection) const;
    pg::DbResult<Beaten> beat_once(pg::Connection& connection, const Pulse& pulse) const;
    bool will_do(const Look& look); // otherwise it has told why
    void tell_another_reason(std::optional<rules::EventKind> what, const std::string& why);
    boost::asio::awaitable<void> enrol();
    boost::asio::awaitable<void> beat();
    void refuse(std::string why); // who says so has raised the event
    void trouble(const pg::DbError& error);
    void trouble(std::optional<rules::EventKind> what, std::string why = {}); // none: it is over

    queue::DatabaseLane& lane_;
    queue::Registration registration_;
    std::string installation_;
    Inheritance& inheritance_;
    Journal& journal_;
    Events& events_;
    std::function<void()> changed_;
    Wakeup wakeup_;
    std::optional<queue::DispatcherId> id_;
    std::string safety_;
    std::optional<std::string> announced_; // by this enrolment
    std::string present_;                  // the database that the journal was last compared with
    std::chrono::steady_clock::time_point trusted_until_;
    std::chrono::steady_clock::time_point beaten_at_;
    std::int64_t settings_version_ = 0;
    Standing standing_ = Standing::starting; // when it does not serve
    std::string trouble_;                    // empty: none
    std::optional<rules::EventKind> told_kind_;
    std::set<std::string> told_; // the reasons of the present trouble
    bool is_ours_ = false;
    bool wants_wake_ = true;
    bool stopping_ = false;
};

} // namespace mailroom
