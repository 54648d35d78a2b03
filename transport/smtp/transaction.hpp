// One message over an open session: MAIL FROM, RCPT TO, DATA, the content, the dot and its reply, pipelined where the
// server allows (RFC 2920). A state machine without I/O: it says what to do, submit.cpp does it and reports what came
// back.
#pragma once

#include "config/address.hpp"

#include "transport/outcome.hpp"
#include "transport/smtp/capabilities.hpp"
#include "transport/smtp/reply.hpp"
#include "transport/smtp/trouble.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace mailroom::smtp {

struct Envelope {
    MailAddress sender;
    std::vector<MailAddress> recipients; // at least one
    // One that stands in the message's header and needs SMTPUTF8; none: the header is of 7-bit octets. The recipients
    // do not tell: who has got the message, or is tried later, stands there too, and Reply-To is nobody's envelope.
    std::optional<MailAddress> in_header_beyond_ascii = std::nullopt;
};

// How many commands go out before their replies are read, where the server offers PIPELINING: one; those of a message;
// or those of the next message as well, behind the final dot of the one before: automatic with servers by known makers,
// next_message with all.
enum class Pipelining { never, message, automatic, next_message };
enum class Reset { not_needed, first }; // RSET: the transaction before this one failed

// Whether it ended before any content was sent, and without a proper answer: by replies out of place or to other
// commands than ours (500, 501, 503), by none in time, or by a lost link. That may be the fault of sending several at
// once.
enum class BrokeOff { no, in_lock_step, pipelined };

// What the link is good for when a transaction is over.
enum class LinkState { clean, needs_reset, unusable };

class Transaction {
public:
    // Of what goes out before its replies are read, so that neither side waits for the other with full buffers: RFC
    // 2920 section 3.1 wants less than a TCP window, of which 4 KiB is the least that is met.
    static constexpr std::size_t max_flight = 4096;          // octets after which a flight takes no more commands
    static constexpr std::size_t max_flight_recipients = 50; // so that the replies fit as well

    struct AwaitReply {};
    struct Send { // then await a reply
        std::string octets;
    };
    struct SendContent {}; // calls on_committing before the last piece, on_sent after it
    struct Finish {
        Delivery delivery; // without server and reused_connection
        LinkState link = LinkState::clean;
        BrokeOff broke_off = BrokeOff::no;
    };
    using Action = std::variant<AwaitReply, Send, SendContent, Finish>;

    // content_size: octets before dot-stuffing. envelope and server must outlive this.
    Transaction(const Envelope& envelope, std::uint64_t content_size, const Capabilities& server, Pipelining pipelining,
                Reset reset);

    Action begin();
    Action on_reply(const Reply& reply);
    void on_committing(); // the octets with the final dot are about to be handed to the socket: from here on, doubt
    void on_withheld();   // not all of them were: it is certain that the server has not got the dot
    Action on_sent();     // the content with its dot is written
    Action on_lost(const Loss& loss);

    Stage stage() const;                                                  // of the reply that is due
    std::size_t answered() const { return refused_.size() - undecided_; } // recipients
    bool is_past_the_dot() const { return phase_ == Phase::committing || phase_ == Phase::verdict; }

private:
    enum class Phase { commands, content, committing, verdict, lone_dot };
    enum class Next { reset, mail_from, rcpt_to, data, none };
    struct Due { // a reply that must come
        Stage stage;
        std::size_t recipient;
    };

    std::optional<Outcome> refused_beforehand();
    Action next_flight();
    bool add_command(std::string& flight);
    void skip_settled_recipients();
    Action on_command_reply(const Reply& reply);
    void on_recipient_reply(std::size_t recipient, const Reply& reply);
    Action on_data_reply(const Reply& reply);
    Action on_verdict(const Reply& reply);
    Action proceed();
    Action finish(LinkState link);
    bool broke_off(const Outcome& outcome) const;
    Outcome outcome_of_all_refused() const;

    const Envelope& envelope_;
    const Capabilities& server_;
    std::uint64_t content_size_;
    bool pipelined_;
    bool sent_several_ = false; // commands at once

    Phase phase_ = Phase::commands;
    Next next_;                                   // command to be sent
    std::size_t recipient_ = 0;                   // of the next RCPT TO
    std::deque<Due> due_;                         // in the order of the commands
    std::size_t accepted_ = 0;                    // recipients
    std::size_t undecided_ = 0;                   // recipients whose RCPT TO is to be sent or answered
    std::optional<Outcome> whole_;                // what became of the transaction, once known
    std::vector<std::optional<Outcome>> refused_; // recipients, one by one
};

} // namespace mailroom::smtp
