// The daemon with a transport that composes every octet and sends none: what the queue alone can do. Used by
// queue_alone.py.
#include "config/service_file.hpp"

#include "service/dispatcher.hpp"
#include "service/host/journal_folder.hpp"
#include "service/log.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>

namespace {

using namespace mailroom;

class NothingSent final : public Transport {
public:
    boost::asio::awaitable<Delivery> deliver(const Parcel& parcel) override
    {
        for (;;) {
            const std::string_view piece = co_await parcel.content.next();
            if (piece.empty())
                break;
        }
        Delivery delivery;
        const std::optional<smtp::Loss> refused = co_await parcel.before_commit();
        if (refused) {
            delivery.outcome = smtp::outcome_of(*refused, Stage::content);
            co_return delivery;
        }
        delivery.outcome.text = "nothing was sent";
        co_return delivery;
    }
    void settings_changed(const Snapshot&) override {}
    void refusal_is_known(const Login&) override {}
    boost::asio::awaitable<void> tidy() override { co_return; }
    void stop() override {}
    void abort() override {}
};

} // namespace

int main(int argc, char** argv)
{
    if (argc != 2) {
        std::fputs("usage: nothing_sent SETTINGS_FILE\n", stderr);
        return 2;
    }
    const auto file = load_service_file(argv[1]);
    if (!file) {
        std::fprintf(stderr, "%s\n", file.error().front().c_str());
        return 2;
    }
    const auto folder = host::journal_folder(*file);
    if (!folder) {
        std::fprintf(stderr, "%s\n", host::where_is_the_journal);
        return 2;
    }
    boost::asio::io_context io(1);
    NothingSent transport;
    Dispatcher dispatcher(io, {*file, std::nullopt, "bench", *folder}, transport);
    boost::asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](const boost::system::error_code& ec, int) {
        if (!ec)
            dispatcher.stop();
    });
    boost::asio::co_spawn(io, dispatcher.run(), [&](const std::exception_ptr&) { io.stop(); });
    io.run();
    log::close();
    return 0;
}
