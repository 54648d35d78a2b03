// A thread that has a disk confirm what was written: all who ask while it is at it are served by the next time.
#pragma once

#include "service/host/locked_file.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

namespace mailroom::journal {

class GroupSync {
public:
    // For longer nobody waits for a disk: ours.
    static constexpr auto limit = std::chrono::seconds(30);

    explicit GroupSync(boost::asio::any_io_executor executor);
    ~GroupSync(); // joins: a disk that hangs is waited for
    GroupSync(const GroupSync&) = delete;
    GroupSync& operator=(const GroupSync&) = delete;

    // All that was appended to the file before. errc::timed_out past the limit.
    boost::asio::awaitable<std::error_code> sync(std::shared_ptr<const host::LockedFile> file);

private:
    struct Request {
        Request(const boost::asio::any_io_executor& executor, std::shared_ptr<const host::LockedFile> of)
            : file(std::move(of)), done(executor)
        {}
        std::shared_ptr<const host::LockedFile> file;
        Wakeup done;
        std::optional<std::error_code> result;
    };
    void work();

    boost::asio::any_io_executor executor_;
    std::mutex mutex_;
    std::condition_variable wakeup_;
    std::vector<std::shared_ptr<Request>> requests_;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace mailroom::journal
