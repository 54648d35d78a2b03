#include "queue/database_lane.hpp"

namespace mailroom::queue {
namespace {

const pg::DbError stopped{pg::DbError::Kind::stopped, "the service is stopping", {}, {}, {}};

} // namespace

DatabaseLane::DatabaseLane(pg::Source source) : source_(std::move(source)), thread_([this] { work(); }) {}

DatabaseLane::~DatabaseLane()
{
    stop();
    thread_.join();
}

void DatabaseLane::stop()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_event_.set();
    wakeup_.notify_one();
}

void DatabaseLane::enqueue(Job job)
{
    std::unique_lock lock(mutex_);
    if (!stopping_) {
        jobs_.push_back(std::move(job));
        wakeup_.notify_one();
        return;
    }
    lock.unlock();
    job(nullptr, &stopped);
}

void DatabaseLane::work()
{
    std::unique_lock lock(mutex_);
    for (;;) {
        wakeup_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (jobs_.empty())
            return;
        const Job job = std::move(jobs_.front());
        jobs_.pop_front();
        const bool refuse = stopping_;
        progress_.busy_since = Clock::now();
        lock.unlock();
        if (refuse)
            job(nullptr, &stopped);
        else
            perform(job);
        lock.lock();
        progress_.busy_since.reset();
        progress_.answered_at = Clock::now();
    }
}

DatabaseLane::Progress DatabaseLane::progress() const
{
    const std::lock_guard lock(mutex_);
    return progress_;
}

void DatabaseLane::note_failure()
{
    const std::lock_guard lock(mutex_);
    progress_.failed_at = Clock::now();
}

void DatabaseLane::perform(const Job& job)
{
    if (!connection_ || !connection_->usable()) {
        connection_.reset();
        auto connected = pg::Connection::connect(source_, &stop_event_);
        if (!connected) {
            const pg::DbError error = connected.error();
            job(nullptr, &error);
            return;
        }
        connection_.emplace(*std::move(connected));
    }
    job(&*connection_, nullptr);
}

Listener::Listener(pg::Source source, std::vector<std::string> channels,
                   std::function<void(const pg::Notification&)> heard)
    : source_(std::move(source)), channels_(std::move(channels)), heard_(std::move(heard)), thread_([this] { work(); })
{}

Listener::~Listener()
{
    stop();
    thread_.join();
}

void Listener::stop()
{
    stopping_ = true;
    stop_event_.set();
}

void Listener::work()
{
    while (!stopping_) {
        listen();
        // The poll goes on meanwhile; a second between attempts is kind to a database that is starting.
        pg::wait(-1, pg::Interest::read, pg::Clock::now() + std::chrono::seconds(1), &stop_event_);
    }
}

void Listener::listen()
{
    auto connection = pg::Connection::connect(source_, &stop_event_);
    if (!connection)
        return;
    for (const auto& channel : channels_) {
        const std::string sql = "LISTEN " + channel;
        if (!connection->run({"", sql}))
            return;
    }
    heard_({});
    while (!stopping_) {
        auto found = connection->notifications(std::chrono::seconds(10));
        if (!found)
            return;
        for (const auto& notification : *found)
            heard_(notification);
        if (found->empty() && !connection->run({"", "SELECT 1"})) // a link that died silently
            return;
    }
}

} // namespace mailroom::queue
