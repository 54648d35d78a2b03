// Memory holds passwords and mail: it is never to be on a disk.
#pragma once

namespace mailroom::host {

// For this process and for ever: no core dump, whatever the system is set to, and only root looks into its memory.
void forbid_core_dumps();

} // namespace mailroom::host
