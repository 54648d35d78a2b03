#include "service/journal/group_sync.hpp"

#include <boost/asio/post.hpp>

#include <map>
#include <utility>

namespace mailroom::journal {

GroupSync::GroupSync(boost::asio::any_io_executor executor)
    : executor_(std::move(executor)), thread_([this] { work(); })
{}

GroupSync::~GroupSync()
{
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wakeup_.notify_one();
    thread_.join();
}

boost::asio::awaitable<std::error_code> GroupSync::sync(std::shared_ptr<const host::LockedFile> file)
{
    const auto request = std::make_shared<Request>(executor_, std::move(file));
    {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
    }
    wakeup_.notify_one();
    co_await request->done.wait_for(limit);
    co_return request->result.value_or(std::make_error_code(std::errc::timed_out));
}

void GroupSync::work()
{
    std::unique_lock lock(mutex_);
    for (;;) {
        wakeup_.wait(lock, [this] { return stopping_ || !requests_.empty(); });
        if (stopping_)
            return;
        const auto served = std::exchange(requests_, {});
        lock.unlock();
        std::map<const host::LockedFile*, std::error_code> synced;
        for (const auto& request : served) {
            const auto [entry, is_new] = synced.try_emplace(request->file.get());
            if (is_new)
                entry->second = request->file->sync();
            boost::asio::post(executor_, [request, result = entry->second] {
                request->result = result;
                request->done.wake();
            });
        }
        lock.lock();
    }
}

} // namespace mailroom::journal
