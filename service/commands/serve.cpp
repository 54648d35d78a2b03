#include "queue/migrate.hpp"
#include "service/commands/commands.hpp"
#include "service/dispatcher.hpp"
#include "service/host/key_source.hpp"
#include "service/log.hpp"
#include "service/smtp_transport.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/host_name.hpp>
#include <boost/asio/signal_set.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>

namespace mailroom::commands {
namespace {

smtp::Timeouts timeouts_of(const ServiceFile::Smtp& smtp)
{
    smtp::Timeouts timeouts;
    timeouts.connect = smtp.connect;
    timeouts.resolve = std::min(timeouts.resolve, smtp.connect);
    timeouts.tls = std::min(timeouts.tls, smtp.reply);
    for (auto* limit : {&timeouts.greeting, &timeouts.ehlo, &timeouts.auth, &timeouts.mail_from, &timeouts.rcpt_to,
                        &timeouts.data, &timeouts.content, &timeouts.rset})
        *limit = std::min(*limit, smtp.reply);
    timeouts.final_dot = smtp.final_reply;
    return timeouts;
}

smtp::Pipelining pipelining_of(const ServiceFile::Smtp& smtp)
{
    switch (smtp.pipelining) {
    case PipeliningPolicy::never:
        return smtp::Pipelining::never;
    case PipeliningPolicy::message:
        return smtp::Pipelining::message;
    case PipeliningPolicy::automatic:
        return smtp::Pipelining::automatic;
    case PipeliningPolicy::next_message:
        return smtp::Pipelining::next_message;
    }
    return smtp::Pipelining::automatic;
}

smtp::ClientName client_name(const ServiceFile& file, const std::string& host)
{
    auto name = smtp::ClientName::make(!file.smtp.client_name.empty() ? file.smtp.client_name : host);
    return name ? *std::move(name)
                : *smtp::ClientName::make("[127.0.0.1]"); // RFC 5321 section 4.1.4: no name, so a literal
}

std::string this_host()
{
    boost::system::error_code ec;
    const std::string host = boost::asio::ip::host_name(ec);
    return ec ? "unknown" : host;
}

// What the server says of a connection string that will not become right by waiting.
bool is_wrong(std::string_view text)
{
    const auto says = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
    return says("password authentication failed") || says("no pg_hba.conf entry") || says("no password supplied") ||
           (says("database \"") && says("does not exist")) || (says("role \"") && says("does not exist"));
}

// A database that is there but wrong is an error to start with; one that is away is waited for.
Result<void> check_database(const Options& options, const ServiceFile& file)
{
    auto connection = pg::Connection::connect({file.database.connection, "mailroom serve", {}, file.database.pooled});
    if (!connection && is_wrong(connection.error().text))
        return Error{pg::explain(connection.error())};
    if (!connection) {
        log::warning("{}; waiting for it", connection.error().text);
        return {};
    }
    auto fits = connect(options);
    if (!fits)
        return Error{fits.error().text};
    return queue::check_installation(*fits, file.installation.name);
}

} // namespace

int serve(const Options& options)
{
    const auto file = settings(options);
    if (!file)
        return complain(options, file.error().text, Exit::usage);
    if (auto opened = log::open(file->log); !opened)
        return complain(options, opened.error().text);
    auto key = host::sealing_key(*file);
    if (!key)
        return complain(options, key.error().text);
    const auto tls = tls::ClientContext::make(file->tls.ca_file);
    if (!tls)
        return complain(options, tls.error().text);
    if (const auto fits = check_database(options, *file); !fits)
        return complain(options, fits.error().text);
    if (!*key)
        log::warning("no sealing key ([secrets] key_file): mail that needs a password is held");

    boost::asio::io_context io(1);
    SmtpTransport transport(
        io.get_executor(),
        {&*tls, client_name(*file, this_host()), timeouts_of(file->smtp), file->smtp.idle, pipelining_of(file->smtp)},
        *key ? &**key : nullptr);
    Dispatcher dispatcher(io, {*file, *key, this_host()}, transport);
    boost::asio::signal_set signals(io, SIGINT, SIGTERM);
    bool first = true; // not the handler's own: each wait has a copy of it
    const std::function<void(const boost::system::error_code&, int)> on_signal =
        [&](const boost::system::error_code& ec, int) {
            if (ec)
                return;
            if (std::exchange(first, false))
                dispatcher.stop();
            else
                dispatcher.stop_sooner();
            signals.async_wait(on_signal);
        };
    signals.async_wait(on_signal);
    std::exception_ptr broken;
    boost::asio::co_spawn(io, dispatcher.run(), [&](const std::exception_ptr& error) {
        broken = error;
        signals.cancel();
        io.stop();
    });
    log::info("mailroom {} serves installation \"{}\"", MAILROOM_VERSION, file->installation.name);
    io.run();
    log::close();
    if (broken)
        std::rethrow_exception(broken);
    return Exit::ok;
}

} // namespace mailroom::commands
