// After a restore from a backup: what was sent since must not be sent again. What journals know ends or goes on; what
// they do not is in doubt, for an operator.
#include "queue/recover.hpp"

#include "service/commands/commands.hpp"
#include "service/commands/filter.hpp"
#include "service/host/journal_folder.hpp"
#include "service/host/prompt.hpp"
#include "service/journal/memory.hpp"
#include "service/outgoing.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

constexpr std::size_t named_at_most = 10; // uids on the screen; all with --json

struct Words {
    const char* ended;
    const char* in_doubt;
    const char* waiting;
};

void print_result(const queue::Recovered& result, const Words& words)
{
    fmt::print("{}: {}\n{}: {}\n{}: {}\n", words.ended, grouped(result.ended), words.in_doubt, grouped(result.in_doubt),
               words.waiting, grouped(result.waiting));
    const json::value unknown = json::parse(result.unknown);
    const json::array& uids = unknown.as_array();
    if (uids.empty())
        return;
    fmt::print("sent since the backup, and not in this database any more: {}. If the ERP lost their documents too, it "
               "will book and send them again\n",
               grouped(static_cast<std::int64_t>(uids.size())));
    for (std::size_t i = 0; i < std::min(uids.size(), named_at_most); ++i)
        fmt::print("  {}\n", std::string_view(uids[i].as_string()));
    if (uids.size() > named_at_most)
        fmt::print("  ... (--json names all)\n");
}

int report(const Options& options, const queue::Recovered& result, const journal::Memory& memory, bool is_count)
{
    if (options.output == Output::json) {
        print_json({{"dry_run", is_count},
                    {"journals", memory.files},
                    {"ended", result.ended},
                    {"in_doubt", result.in_doubt},
                    {"waiting", result.waiting},
                    {"sent_and_unknown", json::parse(result.unknown)},
                    {"problems", json::array(memory.problems.begin(), memory.problems.end())}});
        return Exit::ok;
    }
    print_result(result, is_count ? Words{"would end, because a journal knows how",
                                          "would be in doubt, for an operator", "would go on"}
                                  : Words{"ended, because a journal knows how", "in doubt, for an operator", "go on"});
    if (!is_count && result.in_doubt > 0)
        fmt::print(
            "next: `mailroom doubt list`, ask the recipients or the mail servers, and `mailroom doubt settle`\n");
    return Exit::ok;
}

} // namespace

int recover(const Options& options, const Recovering& recovering)
{
    if (options.output == Output::json && recovering.consent == Consent::ask)
        return complain(options, "with --json nobody is asked: add --yes, or --dry-run to count only", Exit::usage);
    std::vector<std::string> folders = recovering.journals;
    if (folders.empty()) {
        const auto file = settings(options);
        if (!file)
            return complain(options, file.error().text, Exit::usage);
        auto folder = host::journal_folder(*file);
        if (!folder)
            return complain(options, host::where_is_the_journal, Exit::usage);
        if (!folder->empty())
            folders.push_back(*std::move(folder));
    }
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto identity = queue::identity_of_database(*connection);
    if (!identity)
        return complain_about(options, "reading the database's identity", identity.error());
    journal::Memory memory = journal::remember(folders, *identity);
    for (const std::string& problem : memory.problems)
        fmt::print(stderr, "mailroom: {}\n", problem);
    if (recovering.is_complete && (memory.files == 0 || !memory.problems.empty()))
        return complain(options,
                        "not all journals were read, so they cannot be said to be complete; without --complete "
                        "what they do not name is in doubt");
    memory.recovery.is_complete = recovering.is_complete;
    const queue::PlaceOfHold doubt = place_of_hold(doubt_hold());
    if (recovering.consent != Consent::given) {
        const auto counted = queue::recover(*connection, memory.recovery, doubt, queue::Effect::none);
        if (!counted)
            return complain(options, counted.error().text);
        if (options.output == Output::text)
            fmt::print("{} of this database read\n", count_of(memory.files, "journal"));
        report(options, *counted, memory, true);
        if (recovering.consent == Consent::only_count)
            return Exit::ok;
        switch (host::ask("Recover?")) {
        case host::Answer::yes:
            break;
        case host::Answer::no:
            fmt::print("nothing was changed\n");
            return Exit::failed;
        case host::Answer::nobody_there:
            return complain(options, "nothing was changed: add --yes", Exit::usage);
        }
    }
    const auto recovered = queue::recover(*connection, memory.recovery, doubt, queue::Effect::lasting);
    if (!recovered)
        return complain(options, recovered.error().text);
    return report(options, *recovered, memory, false);
}

} // namespace mailroom::commands
