#include "service/connections.hpp"

#include "service/log.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace mailroom {
namespace {

using std::chrono::steady_clock;

std::string key_of(const Login& login)
{
    std::string key = fmt::format("{}/{}/{}/", smtp::to_string(login.server), static_cast<int>(login.server.security),
                                  login.credentials ? login.credentials->login : "");
    key.append(login.fingerprint.begin(), login.fingerprint.end());
    return key;
}

constexpr auto pipeline_less_for = std::chrono::hours(1); // ours: then it may have been repaired

Outcome stopped()
{
    Outcome outcome;
    outcome.verdict = Verdict::try_again;
    outcome.scope = Scope::dispatcher;
    outcome.cause = Cause::stopped;
    outcome.stage = Stage::connect;
    outcome.text = "the service is stopping";
    return outcome;
}

Outcome given_up()
{
    Outcome outcome;
    outcome.verdict = Verdict::try_again;
    outcome.scope = Scope::server;
    outcome.cause = Cause::timed_out;
    outcome.stage = Stage::connect;
    outcome.text = "the connection was not open long after its limits";
    return outcome;
}

bool is_refused_login(const Outcome& outcome)
{
    return outcome.cause == Cause::login_refused || outcome.cause == Cause::basic_login_ended;
}

} // namespace

Connections::Connections(boost::asio::any_io_executor executor, Options options)
    : executor_(std::move(executor)), options_(std::move(options))
{}

Connections::~Connections() = default;

void Connections::reload(Options options)
{
    options_ = std::move(options);
    ++generation_; // those that nobody uses are closed by close_idle()
}

Connections::Account& Connections::account_of(const Login& login)
{
    Account& account = accounts_[key_of(login)];
    account.fingerprint = login.fingerprint;
    if (!login.credentials)
        account.proven = true; // nothing to prove
    return account;
}

std::unique_ptr<smtp::Connection> Connections::take_idle(Account& account) const
{
    while (!account.idle.empty() && is_current(*account.idle.back().connection)) { // the newest is the last
        auto connection = std::move(account.idle.back().connection);
        account.idle.pop_back();
        if (connection->is_alive())
            return connection;
    }
    return nullptr;
}

std::optional<Outcome> Connections::refusal(const Account& account) const
{
    return stopping_ ? stopped() : account.refused;
}

boost::asio::awaitable<Connections::Acquired> Connections::acquire(const Login& login, Prefer prefer,
                                                                   Progress* progress)
{
    const auto enter = [this, progress](Progress::Step step) {
        const auto now = steady_clock::now();
        if (progress != nullptr) // one opening is waited for at the most: its end is the end of all waiting
            progress->enter(step, now, now + smtp::limit_of_opening(options_.timeouts));
    };
    enter(Progress::Step::session);
    Account& account = account_of(login);
    const int failures = account.failures;
    for (;;) {
        if (auto refused = refusal(account))
            co_return *std::move(refused);
        if (prefer == Prefer::any) {
            if (auto connection = take_idle(account)) {
                connection->pipeline(pipelining_for(login));
                co_return Session{std::move(connection), true};
            }
        }
        if (account.failures != failures) // who waited for it hears of it
            co_return *account.failure;
        if (account.proven || !account.opening)
            break;
        Wakeup turn(executor_);
        const auto place = account.waiting.insert(account.waiting.end(), &turn);
        co_await turn.wait_for(std::chrono::seconds(5)); // then looks again
        account.waiting.erase(place);
    }
    enter(Progress::Step::opening);
    co_return co_await open(login, account, progress);
}

boost::asio::awaitable<Connections::Acquired> Connections::open(const Login& login, Account& account,
                                                                const Progress* progress)
{
    account.opening = true;
    const auto cleartext =
        login.server.security == Security::none ? smtp::Cleartext::allowed : smtp::Cleartext::forbidden;
    const std::shared_ptr<const tls::ClientContext> tls = options_.tls; // a reload may bring another meanwhile
    const smtp::OpenOptions options{tls.get(),     options_.client_name,  options_.timeouts,
                                    cleartext,     pipelining_for(login), generation_,
                                    options_.trace};
    const smtp::Credentials* const credentials = login.credentials ? &*login.credentials : nullptr;
    Opening opening; // a stop does not wait for a server that has not taken us in
    opening.progress = progress;
    const auto place = opening_.insert(opening_.end(), &opening);
    Wakeup ended(executor_);
    std::optional<smtp::OpenResult> opened;
    std::exception_ptr broken;
    const auto on_end = [&](std::exception_ptr error, smtp::OpenResult result) {
        broken = std::move(error);
        opened = std::move(result);
        ended.wake();
    };
    boost::asio::co_spawn(executor_, smtp::open(login.server, credentials, options),
                          boost::asio::bind_cancellation_slot(opening.cancel.slot(), on_end));
    while (!opened) // its own deadlines end it
        co_await ended.wait_for(std::chrono::minutes(1));
    opening_.erase(place);
    account.opening = false;
    for (Wakeup* waiting : account.waiting)
        waiting->wake();
    if (broken && stopping_)
        co_return stopped();
    if (broken && opening.given_up) {
        broken = nullptr;
        opened = given_up();
    }
    if (broken)
        std::rethrow_exception(broken);
    if (auto* outcome = std::get_if<Outcome>(&*opened)) {
        remember(account, *outcome);
        co_return std::move(*outcome);
    }
    account.proven = true;
    co_return Session{std::get<std::unique_ptr<smtp::Connection>>(*std::move(opened)), false};
}

// After a failure nothing is known of the login any more: the next one is again tried alone.
void Connections::remember(Account& account, const Outcome& outcome)
{
    if (is_refused_login(outcome)) {
        account.refused = outcome;
        account.refusal_is_known = false;
        account.proven = false;
        return;
    }
    account.failure = outcome;
    ++account.failures;
}

boost::asio::awaitable<void> Connections::give_back(const Login& login, std::unique_ptr<smtp::Connection> connection)
{
    if (!stopping_ && is_current(*connection) && connection->reusable()) {
        account_of(login).idle.push_back({std::move(connection), steady_clock::now()});
        co_return;
    }
    co_await smtp::close(std::move(connection));
}

smtp::Pipelining Connections::pipelining_for(const Login& login) const
{
    const auto found = restraints_.find(smtp::to_string(login.server));
    const bool restrained = found != restraints_.end() && steady_clock::now() < found->second.until;
    return restrained ? std::min(found->second.at_most, options_.pipelining) : options_.pipelining;
}

// Longer restraints stay, and so do stricter ones.
void Connections::restrain(const Login& login, smtp::Pipelining at_most, std::chrono::hours how_long)
{
    const auto before = pipelining_for(login);
    Restraint& restraint = restraints_[smtp::to_string(login.server)];
    restraint.at_most = std::min(at_most, before);
    restraint.until = std::max(restraint.until, steady_clock::now() + how_long);
    if (restraint.at_most == before)
        return;
    if (restraint.at_most == smtp::Pipelining::never)
        log::warning("lock_step", "{} offers PIPELINING and cannot do it: it gets one command at a time for {} h",
                     smtp::to_string(login.server), how_long.count());
    else
        log::info("pipelining_less",
                  "{} does not get on with the next message's commands: nothing goes behind a message for {} h",
                  smtp::to_string(login.server), how_long.count());
}

void Connections::pipeline_less(const Login& login, smtp::Pipelining than)
{
    const bool behind = than > smtp::Pipelining::message;
    restrain(login, behind ? smtp::Pipelining::message : smtp::Pipelining::never, pipeline_less_for);
}

void Connections::keep_to_one_message(const Login& login, std::chrono::hours how_long)
{
    restrain(login, smtp::Pipelining::message, how_long);
}

bool Connections::are_one(const Login& a, const Login& b)
{
    return key_of(a) == key_of(b);
}

void Connections::paused(const std::vector<std::vector<std::uint8_t>>& fingerprints)
{
    for (auto& [key, account] : accounts_) {
        if (!account.refused)
            continue;
        const bool still = std::ranges::find(fingerprints, account.fingerprint) != fingerprints.end();
        if (still)
            account.refusal_is_known = true;
        else if (account.refusal_is_known)
            account.refused.reset();
    }
}

void Connections::refusal_is_known(const Login& login)
{
    account_of(login).refusal_is_known = true;
}

void Connections::stop()
{
    stopping_ = true;
    for (Opening* opening : std::list(opening_)) // each leaves the list as it ends
        opening->cancel.emit(boost::asio::cancellation_type::terminal);
    for (auto& [key, account] : accounts_) {
        for (Wakeup* waiting : account.waiting)
            waiting->wake();
    }
}

void Connections::give_up(const Progress& stuck)
{
    const auto found = std::ranges::find(opening_, &stuck, &Opening::progress);
    if (found == opening_.end())
        return;
    (*found)->given_up = true;
    (*found)->cancel.emit(boost::asio::cancellation_type::terminal);
}

boost::asio::awaitable<void> Connections::close_idle()
{
    const auto oldest = stopping_ ? steady_clock::time_point::max() : steady_clock::now() - options_.idle;
    std::vector<std::unique_ptr<smtp::Connection>> closing;
    for (auto& [key, account] : accounts_) {
        while (!account.idle.empty() &&
               (account.idle.front().since <= oldest || !is_current(*account.idle.front().connection))) {
            closing.push_back(std::move(account.idle.front().connection));
            account.idle.erase(account.idle.begin());
        }
    }
    // All at the same time: together they take no longer than one server may take for its farewell.
    Wakeup closed(executor_);
    std::size_t left = closing.size();
    for (auto& connection : closing) {
        boost::asio::co_spawn(executor_, smtp::close(std::move(connection)), [&](const std::exception_ptr&) {
            --left;
            closed.wake();
        });
    }
    while (left > 0)
        co_await closed.wait_for(std::chrono::minutes(1));
}

} // namespace mailroom
