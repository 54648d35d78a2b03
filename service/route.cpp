#include "service/route.hpp"

#include "config/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

namespace mailroom {
namespace {

constexpr auto fewer_for = std::chrono::minutes(1);       // ours
constexpr auto long_trouble = std::chrono::minutes(5);    // ours: servers restart
constexpr auto trouble_is_kept = std::chrono::minutes(1); // ours: a message moves to its route and is claimed meanwhile
constexpr auto pause_is_kept = std::chrono::minutes(30);  // longer than what met one is put off (rules/decide)
constexpr std::string_view scheme = "smtp/";

} // namespace

int Route::connections(Clock::time_point now) const
{
    if (proving)
        return 1;
    return now < fewer_until ? std::max(1, max_connections - fewer_connections) : max_connections;
}

int Route::may_begin(Clock::time_point now) const
{
    if (blocked(now))
        return 0;
    return std::max(0, std::min(connections(now) - active, minute.available(now) - behind));
}

bool Route::may_begin(const Job& job, Clock::time_point now) const
{
    return may_begin(now) > 0 && granted >= needed(job);
}

// It needs no more connections than there are, but keeps none that is to be given up.
bool Route::may_begin_behind(const Job& job, Clock::time_point now) const
{
    return !blocked(now) && !proving && active <= connections(now) && minute.available(now) > behind &&
           granted >= needed(job);
}

int Route::ready_up_to(Lane lane) const
{
    return std::accumulate(ready.begin(), ready.begin() + static_cast<std::ptrdiff_t>(lane) + 1, 0);
}

// More recipients than a day allows go on a day of their own.
int Route::needed(const Job& job) const
{
    return std::min(job.claimed.recipients, limits.recipients_per_day);
}

bool Route::is_troubled_for_long(Clock::time_point now) const
{
    return troubles > 0 && now - troubled_since >= long_trouble;
}

bool Route::is_busy(Clock::time_point now) const
{
    return blocked(now) || active > 0 || behind > 0 || ready_up_to(Lane::bulk) > 0 || anything_parked();
}

Route::Pause Route::watch(Clock::time_point now)
{
    if (is_busy(now))
        busy_at = now;
    if (now - busy_at >= trouble_is_kept)
        troubles = 0;
    const bool is_over = pause_is_told && now - busy_at >= pause_is_kept;
    pause_is_told &= !is_over;
    return is_over ? Pause::is_over : Pause::goes_on;
}

bool Route::anything_parked() const
{
    return std::ranges::find(parked, true) != parked.end();
}

bool Route::waits_behind_parked(Lane lane) const
{
    return std::any_of(parked.begin(), parked.begin() + static_cast<std::ptrdiff_t>(lane) + 1,
                       [](bool some) { return some; });
}

void Route::taken_over(queue::DispatcherId dispatcher, Clock::time_point now)
{
    owner = dispatcher;
    granted = 0;
    minute = {};
    minute.limit(limits.messages_per_minute, now);
}

void Route::begin(Job& job, Clock::time_point now)
{
    charge(job);
    minute.sent(now);
    ++active;
}

void Route::begin_behind(Job& job)
{
    charge(job);
    ++behind;
}

void Route::take_over(Clock::time_point now)
{
    --behind;
    minute.sent(now);
    ++active;
}

void Route::not_begun(Job& job)
{
    --behind;
    ++ready[static_cast<std::size_t>(job.claimed.lane)];
    granted += job.charged;
    wanted += job.charged;
    job.charged = 0;
}

void Route::charge(Job& job)
{
    job.charged = needed(job);
    --ready[static_cast<std::size_t>(job.claimed.lane)];
    granted -= job.charged;
    wanted -= job.charged;
}

void Route::end(int charged, Ended how, Clock::time_point now)
{
    --active;
    busy_at = now;
    if (how != Ended::served)
        granted += charged;
    if (how == Ended::troubled)
        return;
    if (proving)
        fewer_until = now;
    proving = false;
    troubles = 0;
}

Route::Trouble Route::troubled(std::chrono::milliseconds rest, std::string why, Clock::time_point now)
{
    if (active > 1 && !proving && !blocked(now)) {
        fewer_connections = max_connections - (active - 1);
        fewer_until = now + fewer_for;
        return Trouble::fewer_connections;
    }
    if (blocked(now)) // one of several that were under way
        return Trouble::blocked_before;
    if (troubles == 0)
        troubled_since = now;
    ++troubles;
    trouble = why;
    proving = true;
    block(now + rest, std::move(why));
    return Trouble::blocked;
}

void Route::block(Clock::time_point until, std::string why)
{
    blocked_until = until;
    blocked_why = std::move(why);
    block_is_told = false;
}

void Route::unblock()
{
    blocked_until = {};
    blocked_why.clear();
    proving = false;
}

RouteName route_of(const rules::Identity& identity)
{
    return route_named(fmt::format("{}{}:{}/{}", scheme, ascii_lower(trimmed(identity.host)), identity.port.number(),
                                   identity.password != nullptr ? identity.account : ""));
}

RouteName route_named(const std::string& key)
{
    RouteName name;
    name.key = key;
    const std::string_view rest = std::string_view(key).substr(std::min(scheme.size(), key.size()));
    const auto slash = rest.find('/'); // the first: a host name has none, a login may
    const std::string_view server = rest.substr(0, slash);
    name.host = server.substr(0, server.rfind(':'));
    name.login = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
    name.account = name.login.empty() ? name.host : fmt::format("{} at {}", name.login, name.host);
    return name;
}

} // namespace mailroom
