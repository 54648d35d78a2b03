// The only way from the dispatcher to a transport: replaces or removes recipients as [safety] says, whatever was
// decided before. It knows envelopes and what stands before the first header field; it composes and resolves nothing.
#pragma once

#include "service/safety.hpp"
#include "service/transport.hpp"

#include <memory>

namespace mailroom {

class SafeTransport final : public Transport {
public:
    SafeTransport(Transport& inner, Safety safety); // inner must outlive this

    // From now on nothing is committed that was begun under other settings: it is handed back and goes anew.
    void follow(Safety safety);

    boost::asio::awaitable<Delivery> deliver(const Parcel& parcel) override;
    void settings_changed(const Snapshot& snapshot) override { inner_.settings_changed(snapshot); }
    void refusal_is_known(const Login& login) override { inner_.refusal_is_known(login); }
    boost::asio::awaitable<void> tidy() override { return inner_.tidy(); }
    void stop() override { inner_.stop(); }
    void abort() override { inner_.abort(); }
    void give_up(const Progress& stuck) override { inner_.give_up(stuck); }

private:
    using Rules = std::shared_ptr<const Safety>;
    struct BegunSafely; // and under which rules
    boost::asio::awaitable<std::optional<smtp::Loss>> commit(const Parcel& parcel, Rules rules) const;

    Transport& inner_;
    Rules rules_; // another object where they are others
};

} // namespace mailroom
