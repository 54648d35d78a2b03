// The queue live in a terminal, or one page of it.
#include "queue/migrate.hpp"
#include "queue/sql.hpp"
#include "service/commands/commands.hpp"
#include "service/host/terminal.hpp"
#include "service/top_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace mailroom::commands {
namespace {

using Clock = std::chrono::steady_clock;

// As the dispatcher's sessions: the planner must not read the whole queue for what an index tells.
constexpr const char* plans_by_key = "-c enable_seqscan=off -c enable_bitmapscan=off -c jit=off";

// One connection, made again whenever it was lost.
class Watch {
public:
    Watch(pg::Source source, std::chrono::milliseconds interval) : source_(std::move(source)), interval_(interval) {}

    Result<boost::json::value> look()
    {
        if (!connection_) {
            auto connected = pg::Connection::connect(source_, nullptr, std::chrono::seconds(3));
            if (!connected)
                return Error{pg::explain(connected.error())};
            if (auto fits = queue::check_schema(*connected); !fits)
                return fits.error();
            connection_ = *std::move(connected);
        }
        const auto parameters = pg::Params().number(interval_.count());
        const auto begun = Clock::now();
        auto facts = call_json(*connection_, queue::sql("top").sql, parameters, pg::Connection::statement_limit);
        took_ = Clock::now() - begun;
        if (facts)
            return *std::move(facts);
        if (facts.error().connection_is_gone())
            connection_.reset();
        return explained("looking at the queue", facts.error());
    }

    // When it may look again: a database that is slow to tell has other things to do.
    Clock::time_point next() const { return Clock::now() + std::max<Clock::duration>(interval_, 10 * took_); }

private:
    pg::Source source_;
    std::chrono::milliseconds interval_;
    Clock::duration took_{}; // the last look, without connecting
    std::optional<pg::Connection> connection_;
};

int one_page(const Options& options, Watch& watch)
{
    const auto facts = watch.look();
    if (!facts)
        return complain(options, facts.error().text);
    if (options.output == Output::json) {
        print_json(*facts);
        return Exit::ok;
    }
    for (const auto& line : top_page(*facts))
        fmt::print("{}\n", line);
    return Exit::ok;
}

// In lines of at most so many octets, broken at blanks.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns)
{
    std::vector<std::string> lines;
    while (text.size() > columns && columns > 0) {
        const std::size_t blank = text.rfind(' ', columns);
        const std::size_t end = blank == std::string_view::npos || blank == 0 ? columns : blank;
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end + (end == blank ? 1 : 0));
    }
    lines.emplace_back(text);
    return lines;
}

// The last page stays while the database is away.
void follow(Watch& watch)
{
    host::Terminal terminal;
    std::vector<std::string> page;
    for (auto event = host::Terminal::Event::time_is_over; event != host::Terminal::Event::quit;) {
        std::string trouble;
        if (auto facts = watch.look())
            page = top_page(*facts);
        else
            trouble = facts.error().text;
        const auto next = watch.next();
        do {
            std::vector<std::string> shown;
            if (!trouble.empty())
                shown = wrapped("NO ANSWER, what stands below is old: " + trouble, host::Terminal::size().columns);
            shown.insert(shown.end(), page.begin(), page.end());
            shown.emplace_back("q: quit");
            host::Terminal::draw(shown);
            event = terminal.wait(next);
        } while (event == host::Terminal::Event::resized);
    }
}

} // namespace

int top(const Options& options, const Watching& watching)
{
    pg::Source source{options.database, "mailroom top", plans_by_key};
    if (source.connection.empty()) {
        const auto file = settings(options);
        if (!file)
            return complain(options, file.error().text, Exit::usage);
        source.connection = file->database.connection;
        source.pooled = file->database.pooled;
    }
    Watch watch(std::move(source), watching.interval);
    if (watching.once || options.output == Output::json || !host::Terminal::is_there())
        return one_page(options, watch);
    follow(watch);
    return Exit::ok;
}

} // namespace mailroom::commands
