#include "service/events.hpp"

#include "config/text.hpp"

#include "service/log.hpp"

#include <fmt/format.h>

#include <utility>

namespace mailroom {
namespace {

constexpr std::size_t max_text = 2000;                     // octets, ours: a reply of a server is shorter
constexpr auto pause_of_writing = std::chrono::seconds(5); // while the database does not take them

void say_raised(const rules::EventFacts& facts, const std::string& text, const std::string& remedy)
{
    log::write(facts.level, facts.id,
               fmt::format("{}; {}", text, remedy.empty() ? facts.remedy : std::string_view(remedy)));
}

void say_ended(const rules::EventFacts& facts, const std::string& text)
{
    if (log::enabled(LogLevel::info))
        log::write(LogLevel::info, facts.id, fmt::format("it is over: {}", text));
}

void say_full()
{
    log::warning("events_full", "{} events are open: what else goes wrong is not told before some of them are over",
                 EventBook::max_subjects);
}

bool is_said_when_written(const rules::EventFacts& facts)
{
    return facts.end == rules::EventEnd::follows_from_database; // by the one dispatcher that is the first to see it
}

} // namespace

void Events::raise(Event event)
{
    event.text = printable(event.text, max_text);
    event.remedy = printable(event.remedy, max_text);
    const rules::EventFacts& facts = rules::facts_of(event.kind);
    const std::string text = event.text;
    const std::string remedy = event.remedy;
    const auto news = book_.raise(std::move(event), EventBook::Clock::now());
    if (news == EventBook::News::no)
        return;
    if (news == EventBook::News::full) {
        say_full();
        return;
    }
    say_raised(facts, text, remedy);
    wakeup_.wake();
}

void Events::end(rules::EventKind kind, const std::string& subject)
{
    const auto ended = book_.end(kind, subject, EventBook::Clock::now());
    if (!ended)
        return;
    say_ended(rules::facts_of(kind), ended->text);
    wakeup_.wake();
}

void Events::only(rules::EventKind kind, std::vector<Event> events)
{
    for (Event& event : events) {
        event.text = printable(event.text, max_text);
        event.remedy = printable(event.remedy, max_text);
    }
    if (book_.only(kind, std::move(events), EventBook::Clock::now()) == EventBook::News::full)
        say_full();
    wakeup_.wake();
}

// Whether the database is there at all, the heartbeat finds out.
void Events::raise_upkeep(const std::string& step, const pg::DbError& error)
{
    if (error.kind == pg::DbError::Kind::refused || error.kind == pg::DbError::Kind::timed_out)
        raise({rules::EventKind::upkeep_failed, step, fmt::format("{} failed: {}", step, pg::explain(error)), {}});
}

void Events::enrolled(queue::DispatcherId id)
{
    if (std::exchange(id_, id) == id)
        return;
    book_.told_nothing();
    wakeup_.wake();
}

void Events::stop()
{
    stopping_ = true;
    wakeup_.wake();
}

boost::asio::awaitable<void> Events::run()
{
    while (!stopping_) {
        const bool written = co_await write();
        if (written)
            co_await wakeup_.wait_for(EventBook::repeat_every);
        else
            co_await wakeup_.wait_for(pause_of_writing);
    }
}

std::string Events::name() const
{
    return fmt::format("dispatcher {} on {}", id_.value_or(0), host_);
}

boost::asio::awaitable<bool> Events::write()
{
    if (!id_ || is_writing_)
        co_return true;
    queue::EventChanges changes = book_.due(EventBook::Clock::now());
    if (changes.empty())
        co_return true;
    for (auto& raised : changes.raised)
        raised.subject = raised.subject.empty() ? name() : raised.subject;
    for (auto& ended : changes.ended)
        ended.subject = ended.subject.empty() ? name() : ended.subject;
    is_writing_ = true;
    const auto job = [id = *id_, changes = std::move(changes)](pg::Connection& connection) {
        return queue::tell(connection, id, changes);
    };
    auto told = co_await lane_.run<queue::ToldEvents>(job);
    is_writing_ = false;
    if (!told) {
        book_.not_written();
        say_why_not(told.error());
        co_return false;
    }
    if (!told->is_listed) { // it enrols again, and tells it then
        book_.not_written();
        co_return false;
    }
    book_.written(EventBook::Clock::now());
    refusal_is_told_ = false;
    say(*told);
    co_return true;
}

void Events::say(const queue::ToldEvents& told)
{
    for (const auto& raised : told.raised) {
        const auto* const facts = rules::find_event(raised.id);
        if (facts != nullptr && is_said_when_written(*facts))
            say_raised(*facts, raised.text, raised.remedy);
    }
    for (const auto& ended : told.ended) {
        const auto* const facts = rules::find_event(ended.id);
        if (facts != nullptr && is_said_when_written(*facts))
            say_ended(*facts, ended.text);
    }
}

// A database that is away is an event itself.
void Events::say_why_not(const pg::DbError& error)
{
    if (error.kind == pg::DbError::Kind::refused && !std::exchange(refusal_is_told_, true))
        log::warning("events_refused", "the database refuses to store what operators are to know: {}",
                     pg::explain(error));
}

} // namespace mailroom
