// A journal that a dying process, a full disk or somebody's editor left: whatever is in it, what is read is what stands
// in whole lines.
#include "service/journal/lines.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <string>

using namespace mailroom;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view input = fuzz::text_of(data, size);
    static const std::string header = journal::line_of({1, "a-token", "a-database", "a-boot", false, "a-host", 1, "1"});
    static_cast<void>(journal::recollect(input));
    const auto read = journal::recollect(header + std::string(input));
    require(read.has_value(), "whatever stands behind a good header, the rest is read");
    const auto lines = static_cast<std::size_t>(std::count(input.begin(), input.end(), '\n'));
    require(read->messages.size() + static_cast<std::size_t>(read->unreadable) <= lines + 1,
            "a line tells of one message at most");
    for (const auto& [lease, message] : read->messages) {
        require(message.outcome == journal::Remembered::Outcome::none || !message.json.empty(),
                "an outcome has its words");
        require(message.json.find('\n') == std::string::npos, "of one line");
    }
    // What we write ourselves is read again, whatever was before it.
    queue::Claimed claimed;
    claimed.id = 4711;
    claimed.lease_no = 2;
    claimed.uid = "a-uid";
    const auto again = journal::recollect(header + std::string(input) + "\n" + journal::carried_line(claimed) +
                                          journal::begun_line(claimed, std::nullopt));
    require(again && again->messages.contains({4711, 2}) && again->messages.at({4711, 2}).is_begun,
            "what we wrote is read");
    return 0;
}
