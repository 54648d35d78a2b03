#include "service/journal/journal.hpp"

namespace mailroom {

boost::asio::awaitable<Result<void>> Journal::begun(const queue::Claimed& /*message*/,
                                                    std::optional<std::chrono::milliseconds> /*resend_after*/)
{
    co_return Result<void>();
}

boost::asio::awaitable<void> Journal::run()
{
    co_return;
}

} // namespace mailroom
