#include "queue/migrate.hpp"
#include "service/commands/commands.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

namespace mailroom::commands {

int migrate(const Options& options)
{
    const auto file = settings(options);
    if (!file)
        return complain(options, file.error().text, Exit::usage);
    auto connection = connect_unchecked(options);
    if (!connection)
        return complain(options, connection.error());
    const auto migrated = queue::migrate(*connection, file->installation.name);
    if (!migrated)
        return complain(options, migrated.error().text);
    if (options.output == Output::json) {
        print_json({{"schema", queue::newest_schema()},
                    {"applied", boost::json::array(migrated->applied.begin(), migrated->applied.end())},
                    {"installation", migrated->installation}});
        return Exit::ok;
    }
    for (const auto& name : migrated->applied)
        fmt::print("applied {}\n", name);
    fmt::print("{} has schema version {} and belongs to the installation \"{}\"\n", connection->where(),
               queue::newest_schema(), migrated->installation);
    if (migrated->installation != file->installation.name)
        fmt::print("the settings file says \"{}\": if the database was copied on purpose, run `mailroom adopt`\n",
                   file->installation.name);
    return Exit::ok;
}

int adopt(const Options& options)
{
    const auto file = settings(options);
    if (!file)
        return complain(options, file.error().text, Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto adopted = queue::adopt(*connection, file->installation.name);
    if (!adopted)
        return complain(options, adopted.error().text);
    if (options.output == Output::json)
        print_json(
            {{"installation", file->installation.name}, {"previous", adopted->previous}, {"held", adopted->held}});
    else if (adopted->previous == file->installation.name && adopted->was_elsewhere)
        fmt::print("{} belongs to \"{}\" already, and from now on on this server; nothing is held\n",
                   connection->where(), adopted->previous);
    else if (adopted->previous == file->installation.name)
        fmt::print("{} belongs to \"{}\" already; nothing was changed\n", connection->where(), adopted->previous);
    else
        fmt::print("{} belonged to \"{}\" and now to \"{}\"; {} waiting messages are held (copied_from): they may have "
                   "been sent by \"{}\"\n",
                   connection->where(), adopted->previous, file->installation.name, adopted->held, adopted->previous);
    return Exit::ok;
}

} // namespace mailroom::commands
