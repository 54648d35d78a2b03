// A thread that owns one connection to the database and runs one job after the other, so that no coroutine ever blocks
// on libpq. It connects when a job needs it and gives up a connection that broke; whether to repeat a job is the
// caller's affair.
#pragma once

#include "queue/pg/connection.hpp"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace mailroom::queue {

class DatabaseLane {
public:
    explicit DatabaseLane(pg::Source source);
    ~DatabaseLane(); // stops and joins; a statement in progress is abandoned
    DatabaseLane(const DatabaseLane&) = delete;
    DatabaseLane& operator=(const DatabaseLane&) = delete;

    // Runs `job` in the lane's thread and resumes the caller on its own executor. The caller waits: as many jobs are
    // queued as there are callers, which is what bounds the queue.
    template <class T>
    boost::asio::awaitable<pg::DbResult<T>> run(std::function<pg::DbResult<T>(pg::Connection&)> job)
    {
        return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&, void(pg::DbResult<T>)>(
            Submission<T>{this}, boost::asio::use_awaitable, std::move(job));
    }

    void stop(); // every waiting job and the one in progress end with Kind::stopped

    // For whoever watches over it; from any thread.
    using Clock = std::chrono::steady_clock;
    struct Progress {
        std::optional<Clock::time_point> busy_since; // none: no job is in progress
        Clock::time_point answered_at;               // a job ended; before the first: the lane's start
        std::optional<Clock::time_point> failed_at;  // one found no database, lost it, or had no answer in time
    };
    Progress progress() const;

private:
    // Called with a connection, or with the reason why there is none.
    using Job = std::function<void(pg::Connection*, const pg::DbError*)>;

    // What an awaiting coroutine starts. No lambda with captures: GCC 12 destroys those of a co_await expression twice.
    template <class T>
    struct Submission {
        DatabaseLane* lane;

        template <class Handler>
        void operator()(Handler handler, std::function<pg::DbResult<T>(pg::Connection&)> job) const
        {
            auto executor = boost::asio::get_associated_executor(handler);
            auto shared = std::make_shared<Handler>(std::move(handler)); // a std::function must be copyable
            lane->enqueue([lane = lane, executor, shared, job = std::move(job)](pg::Connection* connection,
                                                                                const pg::DbError* error) {
                pg::DbResult<T> result = connection != nullptr ? job(*connection) : pg::DbResult<T>(*error);
                if (!result && result.error().connection_is_gone()) // a refusal is an answer
                    lane->note_failure();
                boost::asio::post(executor,
                                  [shared, result = std::move(result)]() mutable { (*shared)(std::move(result)); });
            });
        }
    };

    void enqueue(Job job);
    void work();
    void perform(const Job& job);
    void note_failure();

    pg::Source source_;
    pg::StopEvent stop_event_;
    std::optional<pg::Connection> connection_; // the thread's own
    mutable std::mutex mutex_;
    std::condition_variable wakeup_;
    std::deque<Job> jobs_;
    Progress progress_{{}, Clock::now(), {}};
    bool stopping_ = false;
    std::thread thread_;
};

// A thread that listens: `heard` is called in that thread for each notification, and with an empty channel after every
// new connection, because what was notified meanwhile is lost.
class Listener {
public:
    Listener(pg::Source source, std::vector<std::string> channels, std::function<void(const pg::Notification&)> heard);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    void stop();

private:
    void work();
    void listen();

    pg::Source source_;
    std::vector<std::string> channels_;
    std::function<void(const pg::Notification&)> heard_;
    pg::StopEvent stop_event_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

} // namespace mailroom::queue
