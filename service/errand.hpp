// A job on its way: composed once and kept until it is settled, so that its commands can go out behind the final dot of
// the message before it. The courier carries it; what the transport needs of it stays where it is.
#pragma once

#include "service/composed_content.hpp"
#include "service/job.hpp"
#include "service/outgoing.hpp"
#include "service/transport.hpp"

#include <optional>
#include <string>

namespace mailroom {

class Errand {
public:
    explicit Errand(Job job) : job_(std::move(job)) {}
    ~Errand() = default;
    Errand(const Errand&) = delete;
    Errand& operator=(const Errand&) = delete;

    Job& job() { return job_; }
    Progress& progress() { return progress_; } // of its delivery

    // Once, when the job's content is there. domain: of the Message-ID. lane: reads what is large while it is sent.
    // Error: the message cannot be composed, or no recipient is left.
    Result<void> compose(const std::string& domain, queue::DatabaseLane& lane);
    bool is_composed() const { return content_.has_value(); }

    // After compose().
    Addressing addressing() const; // without recipients where none is left
    Letter letter() { return {job_.identity, addressing_->envelope, *content_}; }

private:
    Job job_;
    Progress progress_;
    std::optional<Addressing> addressing_;
    std::string message_id_;
    std::optional<mime::Message> message_; // its views are in `job_` and `message_id_`
    std::optional<ComposedContent> content_;
};

} // namespace mailroom
