#include "service/composed_content.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace mailroom {

ComposedContent::ComposedContent(mime::Composition composition, const queue::MessageContent& content,
                                 queue::Generation generation, queue::DatabaseLane& lane)
    : composition_(std::move(composition)), content_(content), generation_(generation), lane_(lane)
{}

boost::asio::awaitable<std::string_view> ComposedContent::next()
{
    while (piece_ < composition_.pieces.size()) {
        const mime::Piece& piece = composition_.pieces[piece_];
        if (const auto* literal = std::get_if<std::string>(&piece)) {
            ++piece_;
            if (!literal->empty())
                co_return *literal;
            continue;
        }
        const std::size_t attachment = std::get<mime::EncodedAttachment>(piece).index;
        if (offset_ >= content_.attachments.at(attachment).size) {
            ++piece_;
            offset_ = 0;
            continue;
        }
        co_await encode_slice(attachment);
        co_return buffer_;
    }
    co_return std::string_view();
}

boost::asio::awaitable<void> ComposedContent::encode_slice(std::size_t attachment)
{
    const queue::StoredAttachment& stored = content_.attachments[attachment];
    const std::int64_t size = std::min(slice_size, stored.size - offset_);
    buffer_.clear();
    if (stored.bytes) {
        mime::append_base64_lines(
            buffer_,
            std::string_view(*stored.bytes).substr(static_cast<std::size_t>(offset_), static_cast<std::size_t>(size)));
    } else {
        const auto read = [generation = generation_, blob = stored.blob, offset = offset_,
                           size](pg::Connection& connection) {
            return queue::read_slice(connection, generation, blob, offset, size);
        };
        auto slice = co_await lane_.run<std::string>(read);
        if (!slice)
            throw std::runtime_error(pg::explain(slice.error()));
        if (static_cast<std::int64_t>(slice->size()) != size)
            throw std::runtime_error("an attachment is shorter in the database than its stored size");
        mime::append_base64_lines(buffer_, *slice);
    }
    offset_ += size;
}

} // namespace mailroom
