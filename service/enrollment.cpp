#include "service/enrollment.hpp"

#include "service/log.hpp"

#include <algorithm>
#include <utility>

namespace mailroom {

Enrollment::Enrollment(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane,
                       queue::Registration registration, std::string installation, std::function<void()> changed)
    : lane_(lane),
      registration_(std::move(registration)),
      installation_(std::move(installation)),
      changed_(std::move(changed)),
      wakeup_(executor)
{}

std::optional<queue::DispatcherId> Enrollment::id() const
{
    return is_ours_ && std::chrono::steady_clock::now() < trusted_until_ ? id_ : std::nullopt;
}

void Enrollment::stop()
{
    stopping_ = true;
    wakeup_.wake();
}

void Enrollment::want_wake(bool wants)
{
    if (std::exchange(wants_wake_, wants) != wants)
        wakeup_.wake();
}

boost::asio::awaitable<void> Enrollment::run()
{
    while (!stopping_) {
        if (id_)
            co_await beat();
        else
            co_await enrol();
        // Four beats to a lease; sooner while there is trouble.
        const auto interval = registration_.lease / 4;
        co_await wakeup_.wait_for(id() ? interval
                                       : std::min<std::chrono::milliseconds>(interval, std::chrono::seconds(1)));
    }
}

boost::asio::awaitable<void> Enrollment::enrol()
{
    const auto job = [this](pg::Connection& connection) {
        return queue::register_dispatcher(connection, registration_);
    };
    auto enrolled = co_await lane_.run<queue::DispatcherId>(job);
    if (!enrolled) {
        trouble("nothing is sent: " + pg::explain(enrolled.error()));
        co_return;
    }
    id_ = *enrolled;
    co_await beat();
    if (id())
        log::info("ready: dispatcher {} of installation \"{}\"", *id_, installation_);
}

boost::asio::awaitable<void> Enrollment::beat()
{
    const auto started = std::chrono::steady_clock::now();
    // By value: the lane's thread runs it.
    const auto job = [id = *id_, wants = wants_wake_](pg::Connection& connection) {
        return queue::beat(connection, id, wants);
    };
    auto beaten = co_await lane_.run<queue::Beat>(job);
    if (!beaten) {
        trouble("no heartbeat, nothing new is sent until it is back: " + pg::explain(beaten.error()));
        co_return;
    }
    if (!beaten->registered) {
        log::warning("others took dispatcher {} for dead; enrolling again", *id_);
        id_.reset();
        wakeup_.wake();
        co_return;
    }
    is_ours_ = beaten->installation == installation_;
    if (!is_ours_) {
        trouble("the database belongs to the installation \"" + beaten->installation + "\", the settings file says \"" +
                installation_ + "\": nothing is sent. Run `mailroom adopt` if it was copied on purpose");
        co_return;
    }
    if (beaten->key_is_elsewhere) {
        is_ours_ = false;
        trouble("this service has no sealing key ([secrets] key_file) and another has: it leaves all mail to that one");
        co_return;
    }
    if (!trouble_.empty())
        log::info("the trouble is over, messages are claimed again");
    trouble_.clear();
    const bool was_trusted = id().has_value();
    trusted_until_ = started + registration_.lease - margin();
    const bool is_another = std::exchange(settings_version_, beaten->settings_version) != beaten->settings_version;
    if (is_another || !was_trusted)
        changed_();
}

void Enrollment::trouble(const std::string& what)
{
    if (std::exchange(trouble_, what) != what)
        log::error("{}", what);
}

boost::asio::awaitable<void> Enrollment::resign()
{
    if (!id_)
        co_return;
    const auto job = [id = *id_](pg::Connection& connection) { return queue::resign(connection, id); };
    auto resigned = co_await lane_.run<void>(job);
    if (!resigned)
        log::warning("dispatcher {} could not sign off: {}", *id_, pg::explain(resigned.error()));
}

} // namespace mailroom
