// What messages carry, read from the database into proved types: a stored value that does not prove is an error of that
// message, never of its batch.
#pragma once

#include "config/address.hpp"

#include "queue/pg/connection.hpp"
#include "queue/store.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mailroom::queue {

struct StoredRecipient {
    enum class Kind { to, cc, bcc };
    Kind kind = Kind::to;
    NamedAddress address;
};

struct StoredAttachment {
    HeaderText name;
    std::string media_type;
    std::string content_id; // empty: not inline
    std::int64_t size = 0;
    std::int64_t blob = 0;                    // its octets, in the message's generation
    std::shared_ptr<const std::string> bytes; // of small ones, shared by all messages that carry the same; null: large
};

struct StoredCalendar {
    std::string method;
    std::string content;
};

struct StoredUnsubscribe {
    std::string url;
    std::optional<MailAddress> mailto;
};

struct MessageContent {
    std::vector<StoredRecipient> recipients;
    std::vector<NamedAddress> reply_to;
    HeaderText subject;
    std::vector<std::pair<HeaderName, HeaderText>> headers;
    std::string priority; // empty: none was given
    std::optional<StoredCalendar> calendar;
    std::optional<StoredUnsubscribe> unsubscribe;
    std::optional<std::string> text;
    std::optional<std::string> html;
    std::vector<StoredAttachment> attachments;
    std::map<int, int> results; // position > state, of single recipients
    std::string problem;        // why it cannot be composed; empty: nothing wrong
};

// What is known of single recipients is read only for messages that have results.
enum class Results { none, wanted };

// The content of several messages of one generation, one round trip for each kind of thing; attachments up to
// `inline_limit` octets come with their bytes.
pg::DbResult<std::map<MessageId, MessageContent>> read_content(pg::Connection& connection, Generation generation,
                                                               const std::vector<MessageId>& ids, Results results,
                                                               std::int64_t inline_limit);

// Octets [offset, offset + size) of one blob.
pg::DbResult<std::string> read_slice(pg::Connection& connection, Generation generation, std::int64_t blob,
                                     std::int64_t offset, std::int64_t size);

} // namespace mailroom::queue
