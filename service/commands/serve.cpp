#include "queue/migrate.hpp"
#include "service/commands/commands.hpp"
#include "service/host/notifier.hpp"
#include "service/host/service.hpp"
#include "service/log.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>

namespace mailroom::commands {
namespace {

// What the server says of a connection string that will not become right by waiting.
bool is_wrong(std::string_view text)
{
    const auto says = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
    return says("password authentication failed") || says("no pg_hba.conf entry") || says("no password supplied") ||
           (says("database \"") && says("does not exist")) || (says("role \"") && says("does not exist"));
}

// A database that is there but wrong is an error to start with; one that is away is waited for.
Result<void> check_database(const ServiceFile& file)
{
    auto connection = pg::Connection::connect({file.database.connection, "mailroom serve", {}, file.database.pooled});
    if (!connection && is_wrong(connection.error().text))
        return Error{pg::explain(connection.error())};
    if (!connection)
        return {}; // the dispatcher says so
    // Not by another connection: there may be none left.
    if (auto fits = queue::check_schema(*connection); !fits)
        return fits.error();
    return queue::check_installation(*connection, file.installation.name);
}

} // namespace

int serve(const Options& options)
{
    // Until the service reads its settings again at this signal, it is not to be its end.
    static_cast<void>(std::signal(SIGHUP, SIG_IGN));
    host::Notifier notifier;
    const auto read_file = [&options]() -> boost::system::result<ServiceFile, Problems> {
        auto file = load_service_file(options.config_path);
        if (file && !options.database.empty())
            file->database.connection = options.database;
        return file;
    };
    const auto file = settings(options);
    if (!file)
        return complain(options, file.error().text, Exit::usage);
    if (auto opened = log::open(file->log); !opened)
        return complain(options, opened.error().text);
    auto made = host::make_settings(*file);
    if (!made)
        return complain(options, fmt::format("{}", fmt::join(made.error(), "\n  ")));
    notifier.status("looks for the database");
    if (const auto fits = check_database(*file); !fits)
        return complain(options, fits.error().text);

    host::Service service(*std::move(made), read_file, notifier);
    log::info("started", "mailroom {} serves installation \"{}\"", MAILROOM_VERSION, file->installation.name);
    service.run();
    log::close();
    return Exit::ok;
}

} // namespace mailroom::commands
