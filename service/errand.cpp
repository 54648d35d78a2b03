#include "service/errand.hpp"

#include "transport/mime/composer.hpp"

#include <utility>

namespace mailroom {

Result<void> Errand::compose(const std::string& domain, queue::DatabaseLane& lane)
{
    addressing_ = addressing_of(*job_.content, job_.identity);
    message_id_ = job_.claimed.uid + "@" + domain;
    auto message = message_of(job_.claimed, *job_.content, job_.identity, message_id_);
    if (!message)
        return Error{"the message cannot be composed: " + message.error().text};
    if (!addressing_)
        return Error{"no recipient is left"};
    message_ = *std::move(message);
    content_.emplace(mime::compose(*message_), *job_.content, job_.claimed.generation, lane);
    return {};
}

Addressing Errand::addressing() const
{
    return addressing_.value_or(Addressing{{job_.identity.envelope_sender, {}}, {}});
}

} // namespace mailroom
