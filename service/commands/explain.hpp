// Who sends a message and why, by the settings of this moment, for those who explain it and for those who tell its
// story.
#pragma once

#include "service/commands/command.hpp"
#include "service/explain/answer.hpp"
#include "service/snapshot.hpp"

#include <boost/json/value.hpp>

#include <memory>
#include <optional>
#include <string>

namespace mailroom::commands {

struct ExplainedMessage {
    std::shared_ptr<const Snapshot> snapshot; // into which the decision points
    explain::Explained explained;
    boost::json::value now; // where it stands: state, reason, subject, remedy, next_attempt. Null: it has ended
    bool has_ended() const { return now.is_null(); } // then it is what would be decided once more
};

// None: there is no such message. An error: the login may not read the mail settings, for one.
Result<std::optional<ExplainedMessage>> explain_message(const Options& options, pg::Connection& connection,
                                                        const std::string& uid);

} // namespace mailroom::commands
