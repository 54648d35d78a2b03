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

// What happens where: NAME, or NAME:N at the Nth time.
struct Trap {
    Trap(const char* variable, int what_happens) : signal(what_happens)
    {
        const char* const value = std::getenv(variable); // NOLINT(concurrency-mt-unsafe): nobody sets it
        at = value != nullptr ? value : "";
    }

    void come_by(std::string_view name)
    {
        if (!at.starts_with(name))
            return;
        const std::string_view rest = at.substr(name.size());
        if (!rest.empty() && rest.front() != ':')
            return; // a longer name
        int number = 1;
        if (!rest.empty())
            std::from_chars(rest.data() + 1, rest.data() + rest.size(), number);
        if (++times == number)
            static_cast<void>(std::raise(signal));
    }

    std::string_view at;
    int signal;
    std::atomic<int> times = 0;
};

Trap& death()
{
    static Trap trap("MAILROOM_CRASH_AT", SIGKILL);
    return trap;
}

Trap& stillness()
{
    static Trap trap("MAILROOM_STOP_AT", SIGSTOP);
    return trap;
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
    if (death().at == "list")
        tell_once(name);
    death().come_by(name);
    stillness().come_by(name);
}

void crash_point(std::string_view prefix, std::string_view name)
{
    if (!death().at.empty() || !stillness().at.empty())
        crash_point(std::string(prefix).append(".").append(name));
}

} // namespace mailroom

#endif
