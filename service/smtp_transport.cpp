#include "service/smtp_transport.hpp"

#include "service/login.hpp"
#include "transport/smtp/submit.hpp"

#include <utility>

namespace mailroom {
namespace {

Delivery without_login(std::string why)
{
    Delivery delivery;
    delivery.outcome = {Verdict::try_again, Scope::dispatcher, Cause::none, Stage::auth, 0, {},
                        std::move(why),     std::nullopt};
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

} // namespace

SmtpTransport::SmtpTransport(boost::asio::any_io_executor executor, Connections::Options options,
                             const queue::SealingKey* key)
    : connections_(std::move(executor), std::move(options)), key_(key)
{}

boost::asio::awaitable<Delivery> SmtpTransport::deliver(const Parcel& parcel)
{
    const Result<Login> login = login_for(parcel.identity, key_);
    if (!login)
        co_return without_login(login.error().text);
    auto prefer = Connections::Prefer::any;
    for (;;) {
        auto acquired = co_await connections_.acquire(*login, prefer);
        if (const auto* outcome = std::get_if<Outcome>(&acquired)) {
            Delivery delivery;
            delivery.outcome = *outcome;
            delivery.server = smtp::to_string(login->server);
            co_return delivery;
        }
        auto connection = std::move(std::get<Connections::Session>(acquired).connection);
        sending_.insert(connection.get());
        if (stopping_)
            connection->stop();
        Delivery delivery = co_await smtp::submit(*connection, parcel.envelope, parcel.content, parcel.before_commit);
        sending_.erase(connection.get());
        co_await connections_.give_back(*login, std::move(connection));
        if (!was_stale(delivery) || stopping_)
            co_return delivery;
        prefer = Connections::Prefer::fresh;
    }
}

void SmtpTransport::refusal_is_known(const Login& login)
{
    connections_.refusal_is_known(login);
}

void SmtpTransport::settings_changed(const Snapshot& snapshot)
{
    std::vector<std::vector<std::uint8_t>> paused;
    for (const auto& login : snapshot.refused_logins)
        paused.push_back(login.fingerprint);
    connections_.paused(paused);
}

boost::asio::awaitable<void> SmtpTransport::tidy()
{
    return connections_.close_idle();
}

void SmtpTransport::stop()
{
    stopping_ = true;
    connections_.stop();
    for (smtp::Connection* connection : sending_)
        connection->stop();
}

void SmtpTransport::abort()
{
    stop();
    for (smtp::Connection* connection : sending_)
        connection->abort();
}

} // namespace mailroom
