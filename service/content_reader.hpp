// Reads the content of messages for those who are about to send them. Whoever asks while a read is under way is served
// by the next one, together with all others who asked meanwhile: many connections do not wait for many round trips.
#pragma once

#include "queue/content.hpp"
#include "queue/database_lane.hpp"
#include "queue/store.hpp"
#include "service/wakeup.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace mailroom {

class ContentReader {
public:
    // Octets of a message with which its attachments come along; those of a larger one are read in slices. Each
    // connection holds one message, so that memory stays bounded by their number.
    static constexpr std::int64_t whole_message = 512 * 1024;

    explicit ContentReader(queue::DatabaseLane& lane) : lane_(lane) {}

    // Throws where the database does not answer. `claimed` must live until it ends.
    boost::asio::awaitable<queue::MessageContent> read(const queue::Claimed& claimed);

private:
    struct Request {
        const queue::Claimed& claimed;
        Wakeup turn; // served, or its turn to read for all
        std::optional<queue::MessageContent> content;
        std::string trouble;

        bool is_served() const { return content.has_value() || !trouble.empty(); }
    };
    using Contents = std::map<queue::MessageId, queue::MessageContent>;

    boost::asio::awaitable<void> read_for_all();
    std::vector<Request*> next_batch();

    queue::DatabaseLane& lane_;
    std::deque<Request*> waiting_;
    bool reading_ = false;
};

} // namespace mailroom
