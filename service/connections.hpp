// Open SMTP sessions by login: kept for the next message, tested before they are used again, closed when idle. One
// session of a login is opened at a time until one has succeeded; a refused login is not tried again.
#pragma once

#include "config/secret.hpp"

#include "service/login.hpp"
#include "service/wakeup.hpp"
#include "transport/smtp/connection.hpp"
#include "transport/tls.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mailroom {

class Connections {
public:
    struct Options {
        std::shared_ptr<const tls::ClientContext> tls;
        smtp::ClientName client_name;
        smtp::Timeouts timeouts;
        std::chrono::milliseconds idle{15'000}; // an unused session is closed after this
        smtp::Pipelining pipelining = smtp::Pipelining::automatic;
        Trace* trace = nullptr; // of all sessions: for who sends one message
    };

    Connections(boost::asio::any_io_executor executor, Options options);
    ~Connections();
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    // For what is opened from now on. Sessions that are open carry their message to its end and are closed then, so
    // that authorities that are trusted no longer are of no more use.
    void reload(Options options);
    bool is_current(const smtp::Connection& connection) const { return connection.generation() == generation_; }

    // A session that is ready for mail, or why there is none.
    enum class Prefer { any, fresh };
    struct Session {
        std::unique_ptr<smtp::Connection> connection;
        bool reused = false;
    };
    using Acquired = std::variant<Session, Outcome>;
    boost::asio::awaitable<Acquired> acquire(const Login& login, Prefer prefer, Progress* progress = nullptr);

    // Takes a session back: kept where it is in order, closed otherwise.
    boost::asio::awaitable<void> give_back(const Login& login, std::unique_ptr<smtp::Connection> connection);

    // How much the login's server can take at once, by the settings and by what turned out.
    smtp::Pipelining pipelining_for(const Login& login) const;
    // It got on better in lock-step: for an hour a step less than it had, first nothing behind the final dot, then one
    // command.
    void pipeline_less(const Login& login, smtp::Pipelining than);
    void keep_to_one_message(const Login& login, std::chrono::hours how_long); // nothing behind the final dot

    // Whether they would get the same session.
    static bool are_one(const Login& a, const Login& b);

    // The logins that are paused for all dispatchers, from the settings. What we met ourselves stays refused until all
    // knew it once.
    void paused(const std::vector<std::vector<std::uint8_t>>& fingerprints);
    void refusal_is_known(const Login& login);

    // Makes every waiting acquire end soon, with Cause::stopped.
    void stop();
    // Ends the opening of whose acquire this is, with Cause::timed_out, and so lets those go who wait for it.
    void give_up(const Progress& stuck);
    boost::asio::awaitable<void> close_idle(); // those unused for too long; all of them once stopped

private:
    struct Idle {
        std::unique_ptr<smtp::Connection> connection;
        std::chrono::steady_clock::time_point since;
    };
    struct Account {
        std::vector<Idle> idle; // the most recently used last
        bool proven = false;    // a login succeeded
        bool opening = false;   // somebody tries the first one
        std::list<Wakeup*> waiting;
        std::optional<Outcome> refused;
        bool refusal_is_known = false; // to all dispatchers
        std::vector<std::uint8_t> fingerprint;
        std::optional<Outcome> failure; // of the last opening that failed
        int failures = 0;
    };
    struct Opening { // one that is under way
        const Progress* progress = nullptr;
        boost::asio::cancellation_signal cancel;
        bool given_up = false;
    };
    struct Restraint {
        smtp::Pipelining at_most = smtp::Pipelining::next_message;
        std::chrono::steady_clock::time_point until;
    };

    Account& account_of(const Login& login);
    std::unique_ptr<smtp::Connection> take_idle(Account& account) const;
    std::optional<Outcome> refusal(const Account& account) const; // also of open sessions
    boost::asio::awaitable<Acquired> open(const Login& login, Account& account, const Progress* progress);
    void restrain(const Login& login, smtp::Pipelining at_most, std::chrono::hours how_long);
    static void remember(Account& account, const Outcome& outcome);

    boost::asio::any_io_executor executor_;
    Options options_;
    int generation_ = 0;                          // of the options
    std::map<std::string, Restraint> restraints_; // by server
    std::map<std::string, Account> accounts_;     // never erased while the service runs: there are as many as logins
    std::list<Opening*> opening_;
    bool stopping_ = false;
};

} // namespace mailroom
