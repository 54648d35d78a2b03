// A TCP relay that delays each direction by so many milliseconds and limits nothing else: any number of octets may be
// on the way. For measurements of what round trips cost; the connecting itself is not delayed.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// One direction. Both ends of it run in the one thread; what they share lives as long as the later of them.
struct Way {
    struct Piece {
        Clock::time_point due;
        std::string octets; // empty: the end
    };

    std::shared_ptr<tcp::socket> from;
    std::shared_ptr<tcp::socket> to;
    std::chrono::milliseconds delay;
    asio::steady_timer timer;
    std::deque<Piece> pieces;

    void push(std::string octets)
    {
        const bool sleeping = pieces.empty();
        pieces.push_back({Clock::now() + delay, std::move(octets)});
        if (sleeping)
            timer.cancel();
    }
};

asio::awaitable<void> take_in(std::shared_ptr<Way> way)
{
    constexpr std::size_t most = std::size_t{256} << 10;
    std::string octets;
    for (;;) {
        octets.resize(most);
        const auto room = asio::buffer(octets);
        const auto [ec, n] = co_await way->from->async_read_some(room, asio::as_tuple(asio::use_awaitable));
        octets.resize(ec ? 0 : n);
        way->push(octets);
        if (ec)
            co_return;
    }
}

asio::awaitable<void> let_out(std::shared_ptr<Way> way)
{
    for (;;) {
        if (way->pieces.empty() || way->pieces.front().due > Clock::now()) {
            way->timer.expires_at(way->pieces.empty() ? Clock::time_point::max() : way->pieces.front().due);
            co_await way->timer.async_wait(asio::as_tuple(asio::use_awaitable));
            continue;
        }
        const std::string octets = std::move(way->pieces.front().octets);
        way->pieces.pop_front();
        boost::system::error_code ec;
        if (octets.empty()) {
            way->to->shutdown(tcp::socket::shutdown_send, ec);
            co_return;
        }
        const auto all = asio::buffer(octets);
        const auto written = co_await asio::async_write(*way->to, all, asio::as_tuple(asio::use_awaitable));
        if (std::get<0>(written)) { // so that the other end learns of it
            way->from->close(ec);
            co_return;
        }
    }
}

void delay(asio::io_context& io, std::shared_ptr<tcp::socket> from, std::shared_ptr<tcp::socket> to,
           std::chrono::milliseconds time)
{
    auto way = std::make_shared<Way>(Way{std::move(from), std::move(to), time, asio::steady_timer(io), {}});
    asio::co_spawn(io, take_in(way), asio::detached);
    asio::co_spawn(io, let_out(way), asio::detached);
}

asio::awaitable<void> listen(asio::io_context& io, unsigned short here, unsigned short there,
                             std::chrono::milliseconds time)
{
    const auto local = asio::ip::address_v4::loopback();
    const tcp::endpoint endpoint(local, here);
    const tcp::endpoint server(local, there);
    tcp::acceptor acceptor(io, endpoint);
    for (;;) {
        tcp::socket accepted = co_await acceptor.async_accept(asio::use_awaitable);
        const auto near = std::make_shared<tcp::socket>(std::move(accepted));
        const auto far = std::make_shared<tcp::socket>(io);
        const auto connected = co_await far->async_connect(server, asio::as_tuple(asio::use_awaitable));
        if (std::get<0>(connected))
            continue;
        near->set_option(tcp::no_delay(true));
        far->set_option(tcp::no_delay(true));
        delay(io, near, far, time);
        delay(io, far, near, time);
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 4) {
        std::fputs("usage: bench_relay PORT TARGET_PORT MILLISECONDS\n", stderr);
        return 2;
    }
    const auto port = [&](int i) { return static_cast<unsigned short>(std::atoi(argv[i])); };
    asio::io_context io(1);
    const std::chrono::milliseconds time(std::atoi(argv[3]));
    asio::co_spawn(io, listen(io, port(1), port(2), time), [](const std::exception_ptr& error) {
        if (error)
            std::rethrow_exception(error);
    });
    io.run();
    return 0;
}
