// Places at which the tests have the program die, as if the machine had pulled its plug. In builds for tests only
// (MAILROOM_CRASH_POINTS); in what is shipped they are nothing.
#pragma once

#include <string_view>

namespace mailroom {

#ifdef MAILROOM_CRASH_POINTS
// Ends this process by SIGKILL where $MAILROOM_CRASH_AT is this name, or name:N and this is the Nth time. Where it is
// "list", each place that is come by is named on standard error. $MAILROOM_STOP_AT likewise, by SIGSTOP.
void crash_point(std::string_view name);
void crash_point(std::string_view prefix, std::string_view name); // prefix.name
#else
inline void crash_point(std::string_view /*name*/) {}
inline void crash_point(std::string_view /*prefix*/, std::string_view /*name*/) {}
#endif

} // namespace mailroom
