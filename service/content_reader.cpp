#include "service/content_reader.hpp"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

namespace mailroom {
namespace {

bool is_whole(const queue::Claimed& claimed)
{
    return claimed.size <= ContentReader::whole_message;
}

constexpr std::int64_t largest_batch = 4 * 1024 * 1024; // octets that are read for several at once, ours

// Whether one statement reads `next` as well as `first` and others, `size` octets in all. A large message goes alone.
bool fit_together(const queue::Claimed& first, std::int64_t size, const queue::Claimed& next)
{
    return is_whole(first) && is_whole(next) && first.generation == next.generation &&
           size + next.size <= largest_batch;
}

} // namespace

boost::asio::awaitable<queue::MessageContent> ContentReader::read(const queue::Claimed& claimed)
{
    const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
    Request request{claimed, Wakeup(executor), std::nullopt, {}};
    waiting_.push_back(&request);
    while (!request.is_served()) {
        if (reading_)
            co_await request.turn.wait_for(std::chrono::minutes(1)); // then looks again
        else
            co_await read_for_all();
    }
    if (!request.content)
        throw std::runtime_error(request.trouble);
    co_return *std::move(request.content);
}

std::vector<ContentReader::Request*> ContentReader::next_batch()
{
    std::vector<Request*> batch;
    std::deque<Request*> others;
    std::int64_t size = 0;
    for (Request* request : std::exchange(waiting_, {})) {
        const bool fits = batch.empty() || fit_together(batch.front()->claimed, size, request->claimed);
        size += fits ? request->claimed.size : 0;
        if (fits)
            batch.push_back(request);
        else
            others.push_back(request);
    }
    waiting_ = std::move(others);
    return batch;
}

boost::asio::awaitable<void> ContentReader::read_for_all()
{
    reading_ = true;
    const std::vector<Request*> batch = next_batch();
    const queue::Claimed& first = batch.front()->claimed;
    std::vector<queue::MessageId> ids;
    auto results = queue::Results::none;
    for (const Request* request : batch) {
        ids.push_back(request->claimed.id);
        if (request->claimed.has_results)
            results = queue::Results::wanted;
    }
    const auto read = [&ids, results, generation = first.generation,
                       inline_limit = is_whole(first) ? whole_message : 0](pg::Connection& connection) {
        return queue::read_content(connection, generation, ids, results, inline_limit);
    };
    auto found = co_await lane_.run<Contents>(read);
    reading_ = false;
    for (Request* request : batch) {
        if (found)
            request->content = std::move((*found)[request->claimed.id]);
        else
            request->trouble = pg::explain(found.error());
        request->turn.wake();
    }
    if (!waiting_.empty())
        waiting_.front()->turn.wake();
}

} // namespace mailroom
