#include "service/host/service.hpp"

#include "config/reload.hpp"
#include "config/text.hpp"

#include "service/host/journal_folder.hpp"
#include "service/host/key_source.hpp"
#include "service/host/names.hpp"
#include "service/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <string_view>
#include <utility>

namespace mailroom::host {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Standing = Enrollment::Standing;

// All ours. The host is told every two seconds at most, and that the service is ready as soon as it is.
constexpr auto tell_every = milliseconds(2'000);
constexpr auto look_until_ready_every = milliseconds(100);
constexpr auto after_the_stop_limit = std::chrono::seconds(25); // cutting links, writing outcomes, signing off

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
    timeouts.delivery = smtp.delivery;
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

Connections::Options options_of(const Settings& settings)
{
    const ServiceFile& file = settings.file;
    return {settings.tls, client_name(file), timeouts_of(file.smtp), file.smtp.idle, pipelining_of(file.smtp)};
}

bool is_another(const std::optional<queue::Keyring>& a, const std::optional<queue::Keyring>& b)
{
    const auto ids = [](const auto& keys) { return keys ? keys->ids() : std::vector<std::string>(); };
    return ids(a) != ids(b);
}

} // namespace

boost::system::result<Settings, Problems> make_settings(ServiceFile file)
{
    Problems problems;
    auto keys = keyring(file);
    if (!keys)
        problems.push_back(keys.error().text);
    auto tls = tls::ClientContext::make(file.tls.ca_file);
    if (!tls)
        problems.push_back(tls.error().text);
    auto folder = journal_folder(file);
    if (!folder)
        problems.emplace_back(where_is_the_journal);
    if (!problems.empty())
        return problems;
    return Settings{std::move(file), *std::move(keys), std::make_shared<tls::ClientContext>(*std::move(tls)),
                    *std::move(folder)};
}

Service::Service(Settings settings, ReadFile read_file, Notifier& notifier)
    : settings_(std::move(settings)),
      read_file_(std::move(read_file)),
      notifier_(notifier),
      transport_(io_.get_executor(), options_of(settings_), settings_.keys ? &*settings_.keys : nullptr),
      dispatcher_(io_, {settings_.file, settings_.keys, this_host(), settings_.journal_folder}, transport_),
      signals_(io_, SIGINT, SIGTERM, SIGHUP),
      watch_(io_.get_executor())
{}

Service::~Service() = default;

void Service::run()
{
    take_signals();
    boost::asio::co_spawn(io_, dispatcher_.run(), [this](std::exception_ptr error) {
        broken_ = std::move(error);
        io_.stop();
    });
    boost::asio::co_spawn(io_, watch(), boost::asio::detached);
    io_.run();
    if (broken_)
        std::rethrow_exception(broken_);
}

// ---- signals

void Service::take_signals()
{
    signals_.async_wait([this](const boost::system::error_code& ec, int number) {
        if (ec)
            return;
        on_signal(number);
        take_signals();
    });
}

void Service::on_signal(int number)
{
    if (number != SIGHUP)
        stop();
    else if (!stopping_)
        reload();
}

void Service::stop()
{
    if (std::exchange(stopping_, true)) {
        dispatcher_.stop_sooner();
        return;
    }
    notifier_.stopping(settings_.file.dispatcher.stop_limit + after_the_stop_limit);
    dispatcher_.stop();
    watch_.wake();
}

void Service::reload()
{
    const bool was_ready = ready_; // before that there is nothing that systemd could call a reload
    if (was_ready)
        notifier_.reloading();
    const Problems problems = take_over();
    refused_.clear();
    if (!problems.empty()) {
        refused_ = fmt::format("{}", fmt::join(problems, "; "));
        log::error("reload_refused", "reload refused, all settings stay as they were: {}", refused_);
    }
    tell();
    if (was_ready)
        notifier_.ready();
}

Problems Service::take_over()
{
    auto file = read_file_();
    if (!file)
        return file.error();
    auto made = make_settings(*std::move(file));
    if (!made)
        return made.error();
    auto changes = mailroom::reload(settings_.file, made->file);
    if (const auto opened = log::open(changes.file.log); !opened) // the last that can go wrong: it takes effect
        return {opened.error().text};
    if (is_another(settings_.keys, made->keys) &&
        std::ranges::find(changes.after_restart, "[secrets] key_file") == changes.after_restart.end())
        changes.after_restart.emplace_back("the sealing key");
    settings_.file = std::move(changes.file);
    settings_.tls = std::move(made->tls);
    transport_.reload(options_of(settings_));
    dispatcher_.reload(settings_.file);
    const auto list = [](const auto& names) {
        return names.empty() ? std::string("nothing") : fmt::format("{}", fmt::join(names, ", "));
    };
    if (!changes.after_restart.empty())
        log::warning("restart_needed", "changed as well, and used after a restart only: {}",
                     list(changes.after_restart));
    log::info("reloaded", "reloaded the settings and the certificate authorities; changed: {}",
              list(changes.taken_over));
    return {};
}

// ---- what the host is told

boost::asio::awaitable<void> Service::watch()
{
    for (;;) {
        tell();
        tell_watchdog();
        const auto quarter = watchdog_limit_ ? std::chrono::ceil<milliseconds>(*watchdog_limit_ / 4) : tell_every;
        co_await watch_.wait_for(ready_ ? std::min(tell_every, quarter) : look_until_ready_every);
    }
}

// A service that waits for its database has started: whoever waits for its start would otherwise kill it.
void Service::tell()
{
    const Dispatcher::State state = dispatcher_.state();
    notifier_.status(status(state));
    if (state.standing != Standing::starting && !std::exchange(ready_, true))
        notifier_.ready();
}

std::string Service::status(const Dispatcher::State& state)
{
    const auto now = steady_clock::now();
    const double seconds = std::max(std::chrono::duration<double>(now - told_at_).count(), 0.1);
    const double rate = static_cast<double>(state.ended - told_ended_) / seconds;
    told_at_ = now;
    told_ended_ = state.ended;
    std::string text;
    if (state.stopping) {
        text = fmt::format("stopping: awaits replies on {}", count_of(state.sending, "connection"));
    } else if (state.standing == Standing::starting) {
        text = "starting";
    } else if (state.standing == Standing::no_database) {
        text = "waits for the database: " + (state.trouble.empty() ? "its answer is late" : state.trouble);
    } else if (state.standing == Standing::refused) {
        text = "not serving: " + state.trouble;
    } else if (state.waiting + state.sending == 0) {
        text = "idle";
    } else {
        text = fmt::format("sending: {} waiting here, {}, {:.0f}/s", state.waiting,
                           count_of(state.sending, "connection"), rate);
    }
    if (state.paused > 0)
        text += fmt::format(", {} paused", count_of(state.paused, "account"));
    if (state.blocked > 0)
        text += fmt::format(", {} blocked", count_of(state.blocked, "account"));
    return refused_.empty() ? text : text + "; the last reload was refused: " + refused_;
}

void Service::tell_watchdog()
{
    const auto now = steady_clock::now();
    if (!watchdog_limit_ || stopping_ || now < next_watchdog_)
        return;
    // Half of the time that the host allows: it counts all of it once more from what it is told last.
    const auto stall = dispatcher_.stalled(*watchdog_limit_ / 2);
    if (stall && !std::exchange(stalled_, true))
        log::error("stalled",
                   "{} has made no progress for {} s: the watchdog is told no more, and systemd will "
                   "start the service anew",
                   stall->what, std::chrono::floor<std::chrono::seconds>(now - stall->since).count());
    if (!stall && std::exchange(stalled_, false))
        log::info("stall_over", "all goes on again: the watchdog is told so");
    if (stall)
        return;
    notifier_.watchdog();
    next_watchdog_ = now + *watchdog_limit_ / 4;
}

} // namespace mailroom::host
