// The daemon in its process: one transport, one dispatcher, the signals that stop it and have it read its settings
// again, and what it tells the host about itself. What is wrong before it can begin is told by commands/serve.
#pragma once

#include "config/service_file.hpp"

#include "queue/keyring.hpp"
#include "service/dispatcher.hpp"
#include "service/host/notifier.hpp"
#include "service/smtp_transport.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace mailroom::host {

// All that is made of the settings file. None of it is in use before all of it is there.
struct Settings {
    ServiceFile file;
    std::optional<queue::Keyring> keys; // none: mail that needs a password is held
    std::shared_ptr<const tls::ClientContext> tls;
    std::string journal_folder; // empty: no file is wanted
};

// Without the file; the problems name what cannot be read.
boost::system::result<Settings, Problems> make_settings(ServiceFile file);

class Service {
public:
    using ReadFile = std::function<boost::system::result<ServiceFile, Problems>()>;

    // read_file: for a reload. The notifier must outlive the service.
    Service(Settings settings, ReadFile read_file, Notifier& notifier);
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    void run(); // until a signal has stopped it. Throws what a loop of the dispatcher could not cope with.

private:
    void take_signals();
    void on_signal(int number);
    void stop();
    void reload();
    Problems take_over(); // of the settings file; empty: all that can be is in use

    boost::asio::awaitable<void> watch();
    void tell();
    void tell_watchdog();
    std::string status(const Dispatcher::State& state);

    boost::asio::io_context io_{1};
    Settings settings_; // in use
    ReadFile read_file_;
    Notifier& notifier_;
    SmtpTransport transport_;
    Dispatcher dispatcher_;
    boost::asio::signal_set signals_;
    Wakeup watch_;
    std::optional<std::chrono::microseconds> watchdog_limit_ = Notifier::watchdog_limit();
    std::chrono::steady_clock::time_point next_watchdog_;
    std::chrono::steady_clock::time_point told_at_ = std::chrono::steady_clock::now();
    std::uint64_t told_ended_ = 0; // outcomes, when the rate was told last
    std::string refused_;          // of the last reload
    std::exception_ptr broken_;
    bool ready_ = false;
    bool stalled_ = false;
    bool stopping_ = false;
};

} // namespace mailroom::host
