#include "service/courier.hpp"

#include "service/composed_content.hpp"
#include "service/log.hpp"
#include "transport/mime/composer.hpp"
#include "transport/smtp/submit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace mailroom {
namespace {

using std::chrono::system_clock;

constexpr auto pause_after_trouble =
    std::chrono::seconds(5); // of a message whose dispatcher could not do its part, ours

Delivery not_tried(Verdict verdict, Scope scope, Cause cause, std::string text)
{
    Delivery delivery;
    delivery.outcome = {verdict, scope, cause, Stage::connect, 0, {}, std::move(text), std::nullopt};
    return delivery;
}

// The server closed a session that it had kept for us, before it had seen anything of this message.
bool was_stale(const Delivery& delivery)
{
    const Outcome& outcome = delivery.outcome;
    const bool at_the_start =
        outcome.stage == Stage::mail_from || outcome.stage == Stage::rset || outcome.stage == Stage::idle;
    return delivery.reused_connection && at_the_start &&
           (outcome.cause == Cause::connection_lost || outcome.code == 421);
}

std::string_view name_of(const Record& record)
{
    if (const auto* ending = std::get_if<queue::Ending>(&record))
        return ending->outcome;
    return std::get<queue::Suspension>(record).event;
}

void log_outcome(const queue::Claimed& claimed, const Record& record)
{
    const auto* const ending = std::get_if<queue::Ending>(&record);
    const queue::AttemptRecord& attempt =
        ending != nullptr ? ending->attempt : std::get<queue::Suspension>(record).attempt;
    const std::string& note = ending != nullptr ? std::string() : std::get<queue::Suspension>(record).note;
    log::info("{} {} row={} account={} from={} server={} reply=\"{}{}{}\"{}{}", claimed.uid, name_of(record),
              attempt.table_row, attempt.account, attempt.from, attempt.server,
              attempt.code != 0 ? fmt::format("{} ", attempt.code) : "",
              attempt.enhanced.empty() ? "" : attempt.enhanced + " ", attempt.reply, note.empty() ? "" : ": ", note);
}

} // namespace

Courier::Courier(Needs needs) : needs_(std::move(needs)) {}

boost::asio::awaitable<void> Courier::carry(Job job)
{
    std::string broken;
    Committing committing = Committing::no;
    try {
        if (stopping_ || !needs_.lease_is_trusted(job.claimed.dispatcher)) {
            put_back(job.claimed, std::chrono::milliseconds(0), {});
            co_return;
        }
        if (!job.content) {
            const auto read = [id = job.claimed.id, has_results = job.claimed.has_results](pg::Connection& connection) {
                return queue::read_content(connection, {id},
                                           has_results ? queue::Results::wanted : queue::Results::none, 0);
            };
            auto found = co_await needs_.reads.run<std::map<queue::MessageId, queue::MessageContent>>(read);
            if (!found)
                throw std::runtime_error(pg::explain(found.error()));
            job.content = std::move((*found)[job.claimed.id]);
        }
        co_await attempt(job, *job.content, committing);
    } catch (const std::exception& error) {
        broken = error.what();
    }
    if (broken.empty())
        co_return;
    if (committing ==
        Committing::yes) { // never put back what may have gone: its lease runs out, and then it is in doubt
        log::error("{} keeps its lease, its outcome could not be stored: {}", job.claimed.uid, broken);
        co_return;
    }
    log::error("{} is put back: {}", job.claimed.uid, broken);
    put_back(job.claimed, pause_after_trouble, broken);
}

boost::asio::awaitable<void> Courier::attempt(const Job& job, const queue::MessageContent& content,
                                              Committing& committing)
{
    const auto started = system_clock::now();
    const auto addressing = addressing_of(content, job.identity);
    const std::string message_id = job.claimed.uid + "@" + needs_.domain;
    const auto message = message_of(job.claimed, content, job.identity, message_id);
    if (!addressing || !message) {
        const Delivery delivery =
            not_tried(Verdict::give_up, Scope::message, Cause::none,
                      !message ? "the message cannot be composed: " + message.error().text : "no recipient is left");
        co_await settle(job, addressing.value_or(Addressing{{job.identity.envelope_sender, {}}, {}}), delivery,
                        started);
        co_return;
    }
    const Delivery delivery = co_await deliver(job, content, *addressing, *message, committing);
    co_await settle(job, *addressing, delivery, started);
}

Result<Login> Courier::login_of(const Job& job) const
{
    const rules::Identity& identity = job.identity;
    Login login{{identity.host, identity.port, identity.security}, std::nullopt, {}};
    if (identity.password == nullptr)
        return login;
    if (needs_.key == nullptr)
        return Error{"this service has no key to open the password with"};
    auto password = needs_.key->open(*identity.password, queue::password_place(identity.password_owner));
    if (!password)
        return password.error();
    login.fingerprint = needs_.key->fingerprint(identity.host, identity.account, *password);
    login.credentials = smtp::Credentials{identity.account, *std::move(password)};
    return login;
}

boost::asio::awaitable<Delivery> Courier::deliver(const Job& job, const queue::MessageContent& content,
                                                  const Addressing& addressing, const mime::Message& message,
                                                  Committing& committing)
{
    const Result<Login> login = login_of(job);
    if (!login)
        co_return not_tried(Verdict::try_again, Scope::dispatcher, Cause::none, login.error().text);
    const std::function<void()> before_commit = [&committing] { committing = Committing::yes; };
    auto prefer = Connections::Prefer::any;
    for (;;) {
        auto acquired = co_await needs_.connections.acquire(*login, prefer);
        if (const auto* outcome = std::get_if<Outcome>(&acquired)) {
            Delivery delivery;
            delivery.outcome = *outcome;
            delivery.server = smtp::to_string(login->server);
            co_return delivery;
        }
        auto& session = std::get<Connections::Session>(acquired);
        ComposedContent composed(mime::compose(message), content, job.claimed.id, needs_.reads);
        sending_.insert(session.connection.get());
        if (stopping_)
            session.connection->stop();
        Delivery delivery = co_await smtp::submit(*session.connection, addressing.envelope, composed, before_commit);
        sending_.erase(session.connection.get());
        co_await needs_.connections.give_back(*login, std::move(session.connection));
        if (!was_stale(delivery) || stopping_)
            co_return delivery;
        prefer = Connections::Prefer::fresh;
    }
}

boost::asio::awaitable<void> Courier::settle(const Job& job, const Addressing& addressing, const Delivery& delivery,
                                             system_clock::time_point started)
{
    const rules::History history{.attempts = job.claimed.attempts,
                                 .deferrals = job.claimed.deferrals,
                                 .doubts = job.claimed.doubts,
                                 .recipients = static_cast<int>(std::max<std::size_t>(addressing.positions.size(), 1)),
                                 .served_before = addressing.served_before,
                                 .refused_before = addressing.refused_before,
                                 .doubtful_before = addressing.doubtful_before};
    const rules::Judgement judgement = rules::decide(delivery, job.identity, history, needs_.policy, chance());
    const Attempted attempted{job.table_row, &job.identity, started, &delivery, &addressing};
    co_await spread(job, delivery.outcome, judgement.consequence);
    co_await store(job.claimed, attempted, judgement, job.snapshot->settings.version);
}

// What a contact found out concerns everybody who has the same login, or sends as the same address by it.
boost::asio::awaitable<void> Courier::spread(const Job& job, const Outcome& outcome, rules::Consequence consequence)
{
    const std::string reply =
        fmt::format("{} {}{}{}", outcome.code, outcome.enhanced, outcome.enhanced.empty() ? "" : " ", outcome.text);
    const rules::Identity& identity = job.identity;
    if (consequence == rules::Consequence::login_refused || consequence == rules::Consequence::basic_login_ended) {
        const Result<Login> login = login_of(job);
        if (!login)
            co_return;
        const bool ended = consequence == rules::Consequence::basic_login_ended;
        const std::string owner = identity.owner_code.empty() ? "general" : "user " + identity.owner_code;
        const auto write = [fingerprint = login->fingerprint, ended, owner, server = identity.host,
                            reply](pg::Connection& connection) {
            return queue::refuse_login(connection, {fingerprint, ended ? "basic_login_ended" : "auth_failed"}, owner,
                                       server, reply);
        };
        auto is_new = co_await needs_.writes.run<bool>(write);
        if (is_new && *is_new)
            log::warning("the account of {} ({} at {}) is paused: the server refused its login: {}", owner,
                         identity.account, identity.host, reply);
    } else if (consequence == rules::Consequence::sender_refused) {
        const rules::RefusedPair pair = rules::pair_of(identity);
        const auto write = [mode = std::string(to_string(pair.mode)), account = pair.account, from = pair.from.str(),
                            reply](pg::Connection& connection) {
            return queue::refuse_sender(connection, {mode, account, from}, reply);
        };
        auto is_new = co_await needs_.writes.run<bool>(write);
        if (is_new && *is_new)
            log::warning("mail from {} by {} is stopped: the server refused the sender: {}", pair.from.str(),
                         pair.account, reply);
    } else if (consequence == rules::Consequence::dispatcher_troubled) {
        log::error("sending pauses: {}", outcome.text);
        needs_.troubled();
    }
}

boost::asio::awaitable<void> Courier::store(const queue::Claimed& claimed, const Attempted& attempted,
                                            const rules::Judgement& judgement, std::int64_t settings_version)
{
    queue::PlaceId place = queue::unsorted;
    std::optional<rules::Hold> hold;
    if (const auto* held = std::get_if<rules::Held>(&judgement.transition))
        hold = held->hold;
    else if (const auto* doubt = std::get_if<rules::InDoubt>(&judgement.transition);
             doubt != nullptr && !doubt->resend_after)
        hold = doubt_hold();
    while (hold) {
        auto found = co_await needs_.places.of(*hold);
        if (found) {
            place = *found;
            break;
        }
        if (found.error().kind == pg::DbError::Kind::stopped)
            throw std::runtime_error(found.error().text);
        // Only the database can say where; until it answers, the message keeps its lease and this connection.
        Wakeup pause(co_await boost::asio::this_coro::executor);
        co_await pause.wait_for(std::chrono::seconds(1));
    }
    Record record = record_of(claimed, attempted, judgement, place);
    log_outcome(claimed, record);
    count(judgement);
    if (auto* ending = std::get_if<queue::Ending>(&record))
        needs_.completer.end(claimed.dispatcher, std::move(*ending));
    else
        needs_.completer.put_back(claimed.dispatcher, settings_version, std::get<queue::Suspension>(std::move(record)));
}

boost::asio::awaitable<void> Courier::hold(queue::Claimed claimed, std::string table_row, rules::Hold hold,
                                           std::int64_t settings_version)
{
    const Attempted attempted{std::move(table_row), nullptr, std::nullopt, nullptr, nullptr};
    const rules::Judgement judgement = rules::decide(hold);
    co_await store(claimed, attempted, judgement, settings_version);
}

void Courier::put_back(const queue::Claimed& claimed, std::chrono::milliseconds delay, std::string note)
{
    queue::Suspension suspension;
    suspension.id = claimed.id;
    suspension.lease_no = claimed.lease_no;
    suspension.event = note.empty() ? "returned" : "deferred";
    suspension.delay = delay;
    suspension.note = std::move(note);
    needs_.completer.put_back(claimed.dispatcher, 0, std::move(suspension));
}

void Courier::count(const rules::Judgement& judgement)
{
    if (const auto* completed = std::get_if<rules::Completed>(&judgement.transition))
        ++(completed->end == rules::Completed::End::failed ? counts_.failed : counts_.sent);
    else if (std::holds_alternative<rules::RetryAt>(judgement.transition))
        ++counts_.deferred;
    else if (std::holds_alternative<rules::Held>(judgement.transition))
        ++counts_.held;
    else
        ++counts_.in_doubt;
}

void Courier::stop()
{
    stopping_ = true;
    for (smtp::Connection* connection : sending_)
        connection->stop();
}

void Courier::abort()
{
    stopping_ = true;
    for (smtp::Connection* connection : sending_)
        connection->abort();
}

} // namespace mailroom
