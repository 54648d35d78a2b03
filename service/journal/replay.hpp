// Reads what dead dispatchers left in the folder of journals, and writes it to the database: outcomes that it has not
// got, and which messages may have gone. After that their other messages are known not to have been sent.
#pragma once

#include "queue/store.hpp"

#include <string>
#include <vector>

namespace mailroom::journal {

struct Replayed {
    queue::DispatcherId dispatcher = 0;
    int outcomes = 0;        // that the journal knew
    int begun = 0;           // messages of which it does not know what became
    bool is_complete = true; // what it does not name had not begun; false: the machine itself went down
    bool was_late = false;   // others had taken its messages already
};

struct Replay {
    std::vector<Replayed> done;
    std::vector<std::string> problems; // files that could not be read or dealt with, and why
};

// Journals of this database whose owner lives are left alone. `doubt`: where late outcomes stop their messages. In the
// thread of a lane; blocks on the disk. An error of the database leaves the rest for the next time.
pg::DbResult<Replay> replay(pg::Connection& connection, const std::string& folder, queue::PlaceId doubt);

} // namespace mailroom::journal
