#include "transport/smtp/transaction.hpp"

#include "config/text.hpp"

#include "transport/smtp/command.hpp"

#include <algorithm>
#include <utility>

namespace mailroom::smtp {
namespace {

constexpr int start_content = 354; // RFC 5321 section 4.1.1.4
constexpr int closing = 421;       // section 3.8

Outcome needs_smtputf8(Scope scope, Stage stage, const MailAddress& address)
{
    // 5.6.7 of RFC 6531 section 3.7.4.2: what a relay would have to answer.
    return {Verdict::give_up,
            scope,
            Cause::needs_smtputf8,
            stage,
            0,
            {},
            printable("the server does not offer SMTPUTF8, which the address " + address.str() + " needs", max_text),
            {}};
}

Outcome too_large(std::uint64_t size, std::uint64_t max_size)
{
    return {Verdict::give_up,
            Scope::message,
            Cause::too_large,
            Stage::mail_from,
            0,
            {},
            "the message has " + std::to_string(size) + " octets, the server takes at most " + std::to_string(max_size),
            {}};
}

// 452 without a status after others were accepted is the count of recipients (RFC 5321 section 4.5.3.1.10).
bool is_one_too_many(const Reply& reply, std::size_t accepted)
{
    return reply.code == 452 && reply.enhanced.empty() && accepted > 0;
}

} // namespace

Transaction::Transaction(const Envelope& envelope, std::uint64_t content_size, const Capabilities& server,
                         Pipelining pipelining, Reset reset)
    : envelope_(envelope),
      server_(server),
      content_size_(content_size),
      pipelined_(server.pipelining && pipelining != Pipelining::never),
      next_(reset == Reset::first ? Next::reset : Next::mail_from),
      undecided_(envelope.recipients.size()),
      refused_(envelope.recipients.size())
{}

Transaction::Action Transaction::begin()
{
    whole_ = refused_beforehand();
    if (whole_ || undecided_ == 0) // the session is as it was
        return finish(next_ == Next::reset ? LinkState::needs_reset : LinkState::clean);
    return next_flight();
}

std::optional<Outcome> Transaction::refused_beforehand()
{
    if (refused_.empty())
        return Outcome{
            Verdict::give_up, Scope::message, Cause::none, Stage::rcpt_to, 0, {}, "the envelope has no recipient", {}};
    if (server_.max_size && content_size_ > *server_.max_size)
        return too_large(content_size_, *server_.max_size);
    if (server_.smtputf8)
        return {};
    if (envelope_.sender.needs_smtputf8())
        return needs_smtputf8(Scope::message, Stage::mail_from, envelope_.sender);
    if (envelope_.in_header_beyond_ascii) // nobody may get such a header here
        return needs_smtputf8(Scope::message, Stage::mail_from, *envelope_.in_header_beyond_ascii);
    for (std::size_t i = 0; i < refused_.size(); ++i) {
        if (!envelope_.recipients[i].needs_smtputf8())
            continue;
        refused_[i] = needs_smtputf8(Scope::recipient, Stage::rcpt_to, envelope_.recipients[i]);
        --undecided_;
    }
    return {};
}

// ---- The commands ---------------------------------------------------------------------------------------------------

Transaction::Action Transaction::next_flight()
{
    std::string flight;
    const std::size_t first_recipient = recipient_;
    while (add_command(flight)) {
        if (!pipelined_ || flight.size() >= max_flight || recipient_ - first_recipient >= max_flight_recipients)
            break;
    }
    sent_several_ = sent_several_ || due_.size() > 1;
    return Send{std::move(flight)};
}

bool Transaction::add_command(std::string& flight)
{
    switch (next_) {
    case Next::reset:
        flight += command::rset();
        due_.push_back({Stage::rset, 0});
        next_ = Next::mail_from;
        return true;
    case Next::mail_from: {
        const auto needs_utf8 = [](const MailAddress& address) { return address.needs_smtputf8(); };
        const bool utf8 = server_.smtputf8 && (envelope_.in_header_beyond_ascii || needs_utf8(envelope_.sender) ||
                                               std::ranges::any_of(envelope_.recipients, needs_utf8));
        // Also where the server named no limit (RFC 1870 section 6).
        const auto size = server_.size ? std::optional(content_size_) : std::nullopt;
        flight += command::mail_from(envelope_.sender, size, utf8 ? command::SmtpUtf8::yes : command::SmtpUtf8::no);
        due_.push_back({Stage::mail_from, 0});
        next_ = Next::rcpt_to;
        skip_settled_recipients();
        return true;
    }
    case Next::rcpt_to:
        flight += command::rcpt_to(envelope_.recipients[recipient_]);
        due_.push_back({Stage::rcpt_to, recipient_});
        ++recipient_;
        skip_settled_recipients();
        return true;
    case Next::data:
        flight += command::data();
        due_.push_back({Stage::data, 0});
        next_ = Next::none;
        return true;
    case Next::none:
        return false;
    }
    return false;
}

void Transaction::skip_settled_recipients()
{
    while (recipient_ < refused_.size() && refused_[recipient_])
        ++recipient_;
    if (recipient_ == refused_.size())
        next_ = Next::data;
}

// ---- The replies ----------------------------------------------------------------------------------------------------

Transaction::Action Transaction::on_reply(const Reply& reply)
{
    switch (phase_) {
    case Phase::commands:
        return on_command_reply(reply);
    case Phase::content: // before the dot: only a refusal makes sense
        whole_ = classify(Stage::content, reply);
        return finish(LinkState::unusable);
    case Phase::committing:
    case Phase::verdict:
        return on_verdict(reply);
    case Phase::lone_dot: // whatever it says: nobody was to get this
        return finish(reply.code == closing ? LinkState::unusable : LinkState::needs_reset);
    }
    return finish(LinkState::unusable);
}

Transaction::Action Transaction::on_command_reply(const Reply& reply)
{
    const Due due = due_.front();
    due_.pop_front();
    if (reply.code == closing) {
        if (!whole_)
            whole_ = classify(due.stage, reply);
        return finish(LinkState::unusable);
    }
    switch (due.stage) {
    case Stage::rset:
    case Stage::mail_from:
        if (!reply.is_done() && !whole_)
            whole_ = classify(due.stage, reply);
        break;
    case Stage::rcpt_to:
        on_recipient_reply(due.recipient, reply);
        break;
    default:
        return on_data_reply(reply);
    }
    return proceed();
}

void Transaction::on_recipient_reply(std::size_t recipient, const Reply& reply)
{
    --undecided_;
    if (reply.is_done()) { // counted even where all is lost: a lone dot would reach this recipient
        ++accepted_;
        return;
    }
    if (whole_) // without a sender there is nothing to be learnt of a recipient
        return;
    Outcome refusal = classify(Stage::rcpt_to, reply);
    if (refusal.scope == Scope::recipient && is_one_too_many(reply, accepted_))
        refusal.cause = Cause::too_many_recipients;
    const bool about_the_message = refusal.scope == Scope::message || refusal.scope == Scope::sender_identity ||
                                   refusal.cause == Cause::protocol_error;
    if (about_the_message)
        whole_ = std::move(refusal);
    else
        refused_[recipient] = std::move(refusal);
}

Transaction::Action Transaction::on_data_reply(const Reply& reply)
{
    const bool wanted = !whole_ && accepted_ > 0;
    if (reply.code == start_content && wanted) {
        phase_ = Phase::content;
        return SendContent{};
    }
    if (reply.code == start_content && accepted_ == 0) { // RFC 2920 section 3.1
        phase_ = Phase::lone_dot;
        return Send{std::string(command::final_dot)};
    }
    if (wanted)
        whole_ = classify(Stage::data, reply);
    // A dot now would deliver an empty mail to those who were accepted, and anything but a refusal is out of step.
    return finish(reply.category() < 4 ? LinkState::unusable : LinkState::needs_reset);
}

Transaction::Action Transaction::on_verdict(const Reply& reply)
{
    const bool early = phase_ == Phase::committing;
    const Stage at = stage();
    if (reply.is_done()) {
        whole_ =
            Outcome{Verdict::accepted, Scope::message, Cause::none, at, reply.code, reply.enhanced, reply.text(), {}};
        return finish(early ? LinkState::unusable : LinkState::clean);
    }
    whole_ = classify(at, reply);
    if (reply.category() < 4) { // the server got the dot and did not say what it did
        whole_->verdict = Verdict::in_doubt;
        whole_->scope = Scope::message;
    }
    return finish(early || reply.code == closing ? LinkState::unusable : LinkState::needs_reset);
}

// What follows a reply, when it does not end the transaction.
Transaction::Action Transaction::proceed()
{
    if (!due_.empty())
        return AwaitReply{};
    if (whole_)
        return finish(LinkState::needs_reset);
    if (undecided_ == 0 && accepted_ == 0)
        return finish(LinkState::needs_reset);
    return next_flight();
}

// ---- Content and loss -----------------------------------------------------------------------------------------------

void Transaction::on_committing()
{
    phase_ = Phase::committing;
}

void Transaction::on_withheld()
{
    phase_ = Phase::content;
}

Transaction::Action Transaction::on_sent()
{
    phase_ = Phase::verdict;
    return AwaitReply{};
}

Transaction::Action Transaction::on_lost(const Loss& loss)
{
    const bool known = whole_ || phase_ == Phase::lone_dot || (undecided_ == 0 && accepted_ == 0);
    if (known) // the rest was only to leave the session in order
        return finish(LinkState::unusable);
    whole_ = outcome_of(loss, stage());
    if (is_past_the_dot()) {
        whole_->verdict = Verdict::in_doubt;
        whole_->scope = Scope::message;
        if (whole_->cause == Cause::stopped) // which promises that nothing was committed
            whole_->cause = Cause::connection_lost;
    }
    return finish(LinkState::unusable);
}

Stage Transaction::stage() const
{
    switch (phase_) {
    case Phase::commands:
        return due_.empty() ? Stage::mail_from : due_.front().stage;
    case Phase::content:
    case Phase::committing:
        return Stage::content;
    case Phase::verdict:
    case Phase::lone_dot:
        return Stage::final_dot;
    }
    return Stage::final_dot;
}

// ---- The end --------------------------------------------------------------------------------------------------------

Transaction::Action Transaction::finish(LinkState link)
{
    // Out of step, or in a state that cannot be reset: nobody knows what the next command would do.
    if (whole_ && (whole_->cause == Cause::protocol_error || whole_->stage == Stage::rset))
        link = LinkState::unusable;
    Delivery delivery;
    delivery.outcome = whole_ ? *whole_ : outcome_of_all_refused();
    const auto stands_alone = [](const std::optional<Outcome>& refusal) {
        return refusal && refusal->scope == Scope::recipient;
    };
    if (accepted_ > 0 || std::ranges::any_of(refused_, stands_alone)) {
        for (std::optional<Outcome>& refusal : refused_)
            delivery.recipients.push_back(refusal ? *std::move(refusal) : delivery.outcome);
    }
    BrokeOff broken = BrokeOff::no;
    if (broke_off(delivery.outcome))
        broken = sent_several_ ? BrokeOff::pipelined : BrokeOff::in_lock_step;
    return Finish{std::move(delivery), link, broken};
}

bool Transaction::broke_off(const Outcome& outcome) const
{
    if (phase_ != Phase::commands)
        return false;
    switch (outcome.cause) {
    case Cause::protocol_error:
    case Cause::timed_out:
    case Cause::connection_lost:
        return true;
    case Cause::reply: // what we say is right, but for an address that the server reads otherwise (RFC 3463: X.1.x)
        return outcome.code == 500 || (outcome.code == 501 && !outcome.enhanced.starts_with("5.1."));
    default:
        return false;
    }
}

// No recipient was accepted: what concerns more than a recipient comes first, then what may work later.
Outcome Transaction::outcome_of_all_refused() const
{
    const auto weight = [](const std::optional<Outcome>& refusal) {
        if (!refusal)
            return 0;
        if (refusal->scope != Scope::recipient)
            return 3;
        return refusal->verdict == Verdict::try_again ? 2 : 1;
    };
    return **std::ranges::max_element(refused_, {}, weight);
}

} // namespace mailroom::smtp
