#include "service/host/core_dumps.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>

namespace mailroom::host {

void forbid_core_dumps()
{
    // The limit alone does not stop a dump that the kernel hands to a program (core(5)); not being dumpable does.
    const rlimit none{0, 0};
    static_cast<void>(::setrlimit(RLIMIT_CORE, &none));
    static_cast<void>(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

} // namespace mailroom::host
