#include "service/login_notes.hpp"

#include "queue/settings_store.hpp"

#include <utility>

namespace mailroom {
namespace {

constexpr auto noted_anew_after = std::chrono::hours(1); // ours

bool logged_in(const rules::Identity& identity, const Delivery& delivery)
{
    return identity.mode == Mode::smtp && identity.password != nullptr && !delivery.reused_connection &&
           delivery.outcome.stage > Stage::auth;
}

} // namespace

bool LoginNotes::is_known(const rules::Identity& identity) const
{
    const auto known = good_.find(identity.owner);
    return known != good_.end() && known->second.password == *identity.password &&
           known->second.account == identity.account && known->second.host == identity.host &&
           std::chrono::steady_clock::now() < known->second.until;
}

boost::asio::awaitable<void> LoginNotes::delivered(const rules::Identity& identity, const Delivery& delivery)
{
    if (!logged_in(identity, delivery) || is_known(identity))
        co_return;
    const Owner owner = identity.owner;
    good_[owner] = {*identity.password, identity.account, identity.host,
                    std::chrono::steady_clock::now() + noted_anew_after}; // at once: others deliver meanwhile
    const queue::LoginNote note{
        owner, *identity.password, identity.account, identity.host, queue::LoginNote::Login::succeeded, {}};
    const auto write = [note](pg::Connection& connection) { return queue::note_login(connection, note); };
    const auto written = co_await writes_.run<void>(write);
    if (!written)
        good_.erase(owner); // the next login tries it again
}

boost::asio::awaitable<void> LoginNotes::refused(const rules::Identity& identity, std::string words)
{
    good_.erase(identity.owner);
    const queue::LoginNote note{
        identity.owner,  *identity.password, identity.account, identity.host, queue::LoginNote::Login::refused,
        std::move(words)};
    const auto write = [note](pg::Connection& connection) { return queue::note_login(connection, note); };
    static_cast<void>(co_await writes_.run<void>(write)); // mail is held all the same, and says why
}

} // namespace mailroom
