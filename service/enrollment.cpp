#include "service/enrollment.hpp"

#include "config/crash_point.hpp"

#include "queue/migrate.hpp"
#include "service/log.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mailroom {
namespace {

using rules::EventKind;

constexpr std::size_t most_reasons = 5; // told of one trouble, ours: texts may have numbers in them

EventKind kind_of(const pg::DbError& error)
{
    // SQLSTATE read_only_sql_transaction; libpq's own words where it looks for a server that takes writes
    if (error.sqlstate == "25006" || error.text.find("read-only") != std::string::npos)
        return EventKind::database_read_only;
    return error.connection_is_gone() ? EventKind::database_away : EventKind::database_refuses;
}

} // namespace

Enrollment::Enrollment(const boost::asio::any_io_executor& executor, queue::DatabaseLane& lane,
                       queue::Registration registration, std::string installation, Inheritance& inheritance,
                       Journal& journal, Events& events, std::function<void()> changed)
    : lane_(lane),
      registration_(std::move(registration)),
      installation_(std::move(installation)),
      inheritance_(inheritance),
      journal_(journal),
      events_(events),
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

void Enrollment::announce(std::string safety)
{
    safety_ = std::move(safety);
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

struct Enrollment::Look {
    queue::PresentDatabase database;
    std::string misfit;           // not empty: the program does not work with this schema
    std::string proof_of_restore; // not empty: the database is older than the journals

    bool is_fine() const { return misfit.empty() && proof_of_restore.empty(); }
};

struct Enrollment::Entry {
    Look look;            // the rest is empty if it is not fine
    journal::Replay left; // by the dead of this machine
    queue::Enrolled enrolled;
};

struct Enrollment::Pulse {
    queue::DispatcherId id;
    bool wants_wake;
    std::optional<std::string> safety; // none: nothing new
    std::string present;
};

struct Enrollment::Beaten {
    Look look;
    std::optional<queue::Beat> beat; // none: with this database it does not beat
};

// In the lane's thread. The journals are read only where the database is not the one that they were compared with.
pg::DbResult<Enrollment::Look> Enrollment::look_at(pg::Connection& connection, const std::string& known) const
{
    auto present = queue::present_database(connection);
    if (!present)
        return present.error();
    Look look{*std::move(present), {}, {}};
    if (const auto fits = queue::check_version(look.database.schema); !fits) {
        look.misfit = fits.error().text;
        return look;
    }
    if (look.database.present == known)
        return look;
    auto proof = inheritance_.proof_of_restore(connection);
    if (!proof)
        return proof.error();
    look.proof_of_restore = *std::move(proof);
    return look;
}

bool Enrollment::will_do(const Look& look)
{
    if (!look.misfit.empty())
        trouble(EventKind::schema_differs, look.misfit);
    else if (!look.proof_of_restore.empty())
        trouble(EventKind::database_restored, look.proof_of_restore);
    else
        present_ = look.database.present;
    return look.is_fine();
}

// In the lane's thread. What others left goes before anything that this one does.
pg::DbResult<Enrollment::Entry> Enrollment::enter(pg::Connection& connection) const
{
    auto look = look_at(connection, {});
    if (!look)
        return look.error();
    if (!look->is_fine())
        return Entry{*std::move(look), {}, {}};
    auto left = inheritance_.take(connection);
    if (!left)
        return left.error();
    auto enrolled = queue::register_dispatcher(connection, registration_);
    if (!enrolled)
        return enrolled.error();
    return Entry{*std::move(look), *std::move(left), *std::move(enrolled)};
}

boost::asio::awaitable<void> Enrollment::enrol()
{
    const auto job = [this](pg::Connection& connection) { return enter(connection); };
    auto entry = co_await lane_.run<Entry>(job);
    if (!entry) {
        trouble(entry.error());
        co_return;
    }
    if (!will_do(entry->look))
        co_return;
    inheritance_.tell(entry->left);
    id_ = entry->enrolled.id;
    announced_ = ""; // as its row begins
    const auto opened = journal_.enrolled(entry->enrolled);
    if (!opened) {
        refuse(opened.error().text);
        co_await resign();
        id_.reset();
        co_return;
    }
    crash_point("enrolled");
    events_.enrolled(*id_);
    co_await beat();
    if (id())
        log::info("ready", R"(dispatcher {} of installation "{}")", *id_, installation_);
}

// In the lane's thread. An older copy of the database gets no beat, without which it gives no messages (claim). Nor
// does one with an older schema; with a newer one, what is under way may still come to its end.
pg::DbResult<Enrollment::Beaten> Enrollment::beat_once(pg::Connection& connection, const Pulse& pulse) const
{
    auto look = look_at(connection, pulse.present);
    if (!look)
        return look.error();
    Beaten beaten{*std::move(look), {}};
    if (!beaten.look.proof_of_restore.empty() || beaten.look.database.schema < queue::newest_schema())
        return beaten;
    auto beat = queue::beat(connection, pulse.id, pulse.wants_wake);
    if (!beat)
        return beat.error();
    beaten.beat = *std::move(beat);
    if (!beaten.beat->registered || !pulse.safety)
        return beaten;
    auto announced = queue::announce(connection, pulse.id, *pulse.safety);
    if (!announced)
        return announced.error();
    return beaten;
}

boost::asio::awaitable<void> Enrollment::beat()
{
    const auto started = std::chrono::steady_clock::now();
    // By value: the lane's thread runs it.
    const auto news = announced_ != safety_ ? std::optional(safety_) : std::nullopt;
    const auto job = [this, pulse = Pulse{*id_, wants_wake_, news, present_}](pg::Connection& connection) {
        return beat_once(connection, pulse);
    };
    const std::string announcing = safety_;
    auto beaten = co_await lane_.run<Beaten>(job);
    if (!beaten) {
        trouble(beaten.error());
        co_return;
    }
    const std::optional<queue::Beat>& beat = beaten->beat;
    is_ours_ = will_do(beaten->look);
    if (!is_ours_) {
        if (!beat)
            id_.reset(); // it enrols once the database will do
        co_return;
    }
    if (!beat->registered) {
        log::warning("taken_for_dead", "others took dispatcher {} for dead; enrolling again", *id_);
        id_.reset();
        wakeup_.wake();
        co_return;
    }
    announced_ = announcing;
    is_ours_ = beat->installation == installation_;
    if (!is_ours_) {
        trouble(EventKind::installation_differs,
                fmt::format(R"(the database belongs to the installation "{}", the settings file says "{}")",
                            beat->installation, installation_));
        co_return;
    }
    if (beat->key_is_elsewhere) {
        is_ours_ = false;
        trouble(EventKind::key_elsewhere, "this service lacks a key that passwords are sealed with "
                                          "([secrets] key_file) and another has it: it leaves all mail to that one");
        co_return;
    }
    const bool was_in_trouble = !trouble_.empty();
    trouble(std::nullopt);
    beaten_at_ = started;
    const bool was_trusted = id().has_value();
    trusted_until_ = started + registration_.lease - margin();
    const bool is_another = std::exchange(settings_version_, beat->settings_version) != beat->settings_version;
    if (is_another || !was_trusted || was_in_trouble)
        changed_();
}

void Enrollment::refuse(std::string why)
{
    standing_ = Standing::refused;
    trouble_ = std::move(why);
}

void Enrollment::trouble(const pg::DbError& error)
{
    trouble(kind_of(error), pg::explain(error));
}

void Enrollment::trouble(std::optional<EventKind> what, std::string why)
{
    tell_another_reason(what, why);
    for (const EventKind kind : {EventKind::database_away, EventKind::database_read_only, EventKind::database_refuses,
                                 EventKind::schema_differs, EventKind::installation_differs, EventKind::key_elsewhere,
                                 EventKind::database_restored}) {
        if (kind == what)
            events_.raise({kind, {}, "nothing new is sent: " + why, {}});
        else
            events_.end(kind);
    }
    // Without trouble it stands so if the next beat is too late.
    standing_ = what && *what != EventKind::database_away ? Standing::refused : Standing::no_database;
    trouble_ = std::move(why);
}

// The event is told once, when it begins; what keeps the database away may be another thing by then.
void Enrollment::tell_another_reason(std::optional<EventKind> what, const std::string& why)
{
    const bool goes_on = what && what == told_kind_;
    if (!goes_on)
        told_.clear();
    told_kind_ = what;
    if (!what || told_.size() >= most_reasons || !told_.insert(why).second || !goes_on)
        return;
    const rules::EventFacts& facts = rules::facts_of(*what);
    log::write(facts.level, facts.id, fmt::format("still nothing new is sent: {}", why));
}

boost::asio::awaitable<void> Enrollment::resign()
{
    if (!id_)
        co_return;
    const auto job = [id = *id_](pg::Connection& connection) { return queue::resign(connection, id); };
    auto resigned = co_await lane_.run<void>(job);
    if (!resigned)
        log::warning("sign_off_failed", "dispatcher {} could not sign off: {}", *id_, pg::explain(resigned.error()));
}

} // namespace mailroom
