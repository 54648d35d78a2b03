#include "service/smtp_transport.hpp"

#include "service/login.hpp"
#include "transport/smtp/submit.hpp"

#include <memory>
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

// One command at a time, the server came past where it had broken off before. The same refusal was meant.
bool came_further(const Delivery& in_lock_step, const Delivery& pipelined)
{
    const Outcome& outcome = in_lock_step.outcome;
    if (outcome.stage == Stage::content || outcome.stage == Stage::final_dot)
        return true;
    if (outcome.code == 0 || outcome.code == 421)
        return false;
    return outcome.stage > pipelined.outcome.stage ||
           (outcome.stage == pipelined.outcome.stage && outcome.code != pipelined.outcome.code);
}

} // namespace

SmtpTransport::SmtpTransport(boost::asio::any_io_executor executor, Connections::Options options,
                             const queue::Keyring* keys)
    : connections_(std::move(executor), std::move(options)), keys_(keys)
{}

struct SmtpTransport::BegunBySmtp final : Begun {
    BegunBySmtp(Login by, std::unique_ptr<smtp::Connection> on) : login(std::move(by)), connection(std::move(on)) {}
    Login login;
    std::unique_ptr<smtp::Connection> connection;
};

// What stop() and abort() reach, until its submission ends, by an exception as well.
class SmtpTransport::Sending {
public:
    Sending(SmtpTransport& transport, smtp::Connection& connection, const Progress* progress)
        : transport_(transport), connection_(connection)
    {
        transport_.sending_.emplace(&connection_, progress);
        if (transport_.stopping_)
            connection_.stop();
    }
    Sending(const Sending&) = delete;
    Sending& operator=(const Sending&) = delete;
    ~Sending() { transport_.sending_.erase(&connection_); }

private:
    SmtpTransport& transport_;
    smtp::Connection& connection_;
};

boost::asio::awaitable<Delivery> SmtpTransport::submit(smtp::Connection& connection, const Parcel& parcel,
                                                       const Login& login, std::optional<Login>& next_login)
{
    // The next message goes behind this one only where it would get the same session: a route knows no passwords.
    const auto following = [&]() -> std::optional<smtp::Following> {
        const bool goes_on = !stopping_ && connections_.is_current(connection);
        const auto next = goes_on ? parcel.next() : std::nullopt;
        if (!next)
            return std::nullopt;
        Result<Login> other = login_for(next->identity, keys_);
        if (!other || !Connections::are_one(*other, login))
            return std::nullopt;
        next_login = *std::move(other);
        return smtp::Following{next->envelope, next->content.size()};
    };
    smtp::Hooks hooks{parcel.before_commit, following, parcel.expires, parcel.progress};
    const Sending sending(*this, connection, parcel.progress);
    Delivery delivery = co_await smtp::submit(connection, parcel.envelope, parcel.content, std::move(hooks));
    co_return delivery;
}

boost::asio::awaitable<Delivery> SmtpTransport::deliver(const Parcel& parcel)
{
    std::optional<Login> login;
    std::unique_ptr<smtp::Connection> connection;
    if (const std::unique_ptr<Begun> begun = std::move(parcel.begun)) {
        auto& mine = dynamic_cast<BegunBySmtp&>(*begun); // nobody else makes them
        login = std::move(mine.login);
        connection = std::move(mine.connection);
        connection->pipeline(connections_.pipelining_for(*login)); // it may have turned out meanwhile what is too much
    } else {
        Result<Login> found = login_for(parcel.identity, keys_);
        if (!found)
            co_return without_login(found.error().text);
        login = *std::move(found);
    }
    auto prefer = Connections::Prefer::any;
    std::optional<Delivery> broken_off; // with its commands in one flight
    auto flight = smtp::Pipelining::never;
    for (;;) {
        const bool was_begun = connection != nullptr;
        if (!connection) {
            auto acquired = co_await connections_.acquire(*login, prefer, parcel.progress);
            if (const auto* outcome = std::get_if<Outcome>(&acquired)) {
                Delivery delivery;
                delivery.outcome = *outcome;
                delivery.server = smtp::to_string(login->server);
                co_return delivery;
            }
            connection = std::move(std::get<Connections::Session>(acquired).connection);
        }
        if (broken_off)
            connection->pipeline(smtp::Pipelining::never);
        std::optional<Login> next_login;
        Delivery delivery = co_await submit(*connection, parcel, *login, next_login);
        const bool broke_off = connection->broke_off() == smtp::BrokeOff::pipelined;
        if (broken_off && came_further(delivery, *broken_off))
            connections_.pipeline_less(*login, flight);
        if (connection->has_begun()) {
            parcel.begun = std::make_unique<BegunBySmtp>(*std::move(next_login), std::move(connection));
            co_return delivery;
        }
        const int carried = connection->messages_carried();
        flight = connection->pipelining();
        co_await connections_.give_back(*login, std::move(connection));
        connection.reset();
        // A server that hangs up with commands unread may undo its last reply (RST): each time that is a doubt.
        if (next_login && delivery.outcome.verdict == Verdict::in_doubt)
            connections_.keep_to_one_message(*login, std::chrono::hours(24));
        const bool may_repeat = delivery.outcome.stage < Stage::content || delivery.outcome.stage > Stage::final_dot;
        if (stopping_ || !may_repeat) // a content is read once
            co_return delivery;
        prefer = Connections::Prefer::fresh;
        if (was_stale(delivery)) {
            // It may hang up after each message, or because of what came behind its dot: that costs a connection each.
            if (was_begun && carried == 2)
                connections_.keep_to_one_message(*login, std::chrono::hours(1));
            continue;
        }
        if (was_begun && delivery.outcome.code == 421)
            continue;
        if (!broke_off)
            co_return delivery;
        broken_off = std::move(delivery);
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
    for (const auto& [connection, progress] : sending_)
        connection->stop();
}

void SmtpTransport::abort()
{
    stop();
    for (const auto& [connection, progress] : sending_)
        connection->abort();
}

void SmtpTransport::give_up(const Progress& stuck)
{
    connections_.give_up(stuck);
    for (const auto& [connection, progress] : sending_) {
        if (progress == &stuck)
            connection->give_up();
    }
}

} // namespace mailroom
