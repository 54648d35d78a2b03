// Carries messages by SMTP: gets a session for the account, submits, gives the session back. A session that turns out
// to have been closed while nobody used it costs no try.
#pragma once

#include "queue/keyring.hpp"
#include "service/connections.hpp"
#include "service/transport.hpp"

#include <map>
#include <optional>
#include <utility>

namespace mailroom {

class SmtpTransport final : public Transport {
public:
    // keys: null when the service has none; then nothing that needs a password comes here.
    SmtpTransport(boost::asio::any_io_executor executor, Connections::Options options, const queue::Keyring* keys);

    void reload(Connections::Options options) { connections_.reload(std::move(options)); }

    boost::asio::awaitable<Delivery> deliver(const Parcel& parcel) override;
    void settings_changed(const Snapshot& snapshot) override;
    void refusal_is_known(const Login& login) override;
    boost::asio::awaitable<void> tidy() override;
    void stop() override;
    void abort() override;
    void give_up(const Progress& stuck) override;

private:
    class Sending;
    struct BegunBySmtp; // the connection on which the next message is begun
    boost::asio::awaitable<Delivery> submit(smtp::Connection& connection, const Parcel& parcel, const Login& login,
                                            std::optional<Login>& next_login);

    Connections connections_;
    const queue::Keyring* keys_;
    std::map<smtp::Connection*, const Progress*> sending_;
    bool stopping_ = false;
};

} // namespace mailroom
