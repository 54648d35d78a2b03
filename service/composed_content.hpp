// A composed message as the transport pulls it: literal pieces as they are, attachments encoded on the way, read from
// the database in slices where they are large.
#pragma once

#include "queue/content.hpp"
#include "queue/database_lane.hpp"
#include "transport/content.hpp"
#include "transport/mime/composer.hpp"

#include <cstdint>
#include <string>

namespace mailroom {

class ComposedContent final : public Content {
public:
    // `lane` reads slices; `content` must outlive this.
    ComposedContent(mime::Composition composition, const queue::MessageContent& content, queue::Generation generation,
                    queue::DatabaseLane& lane);

    std::uint64_t size() const override { return composition_.size; }
    boost::asio::awaitable<std::string_view> next() override; // throws where a slice cannot be read

private:
    // 256 KiB of the database's octets at a time, a whole number of lines of base64.
    static constexpr std::int64_t slice_size = static_cast<std::int64_t>(mime::slice_unit) * 4599;

    boost::asio::awaitable<void> encode_slice(std::size_t attachment);

    mime::Composition composition_;
    const queue::MessageContent& content_;
    queue::Generation generation_;
    queue::DatabaseLane& lane_;
    std::size_t piece_ = 0;
    std::int64_t offset_ = 0; // in the attachment of the current piece
    std::string buffer_;
};

} // namespace mailroom
