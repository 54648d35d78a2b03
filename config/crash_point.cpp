#include "config/crash_point.hpp"

#ifdef MAILROOM_CRASH_POINTS

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>

namespace mailroom {
namespace {

std::string_view wanted()
{
    static const char* const value = std::getenv("MAILROOM_CRASH_AT"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return value != nullptr ? value : "";
}

// How the sweep learns which places there are.
void tell_once(std::string_view name)
{
    static std::mutex mutex;
    static std::set<std::string, std::less<>> told;
    const std::lock_guard lock(mutex);
    if (told.emplace(name).second)
        std::fprintf(stderr, "crash point: %.*s\n", static_cast<int>(name.size()), name.data());
}

} // namespace

void crash_point(std::string_view name)
{
    static std::atomic<int> times = 0;
    const std::string_view at = wanted();
    if (at == "list")
        tell_once(name);
    if (!at.starts_with(name))
        return;
    const std::string_view rest = at.substr(name.size());
    if (!rest.empty() && rest.front() != ':')
        return; // a longer name
    int number = 1;
    if (!rest.empty())
        std::from_chars(rest.data() + 1, rest.data() + rest.size(), number);
    if (++times == number)
        static_cast<void>(std::raise(SIGKILL));
}

void crash_point(std::string_view prefix, std::string_view name)
{
    if (!wanted().empty())
        crash_point(std::string(prefix).append(".").append(name));
}

} // namespace mailroom

#endif
