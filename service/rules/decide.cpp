#include "service/rules/decide.hpp"

#include "service/rules/backoff.hpp"

#include <algorithm>
#include <utility>

namespace mailroom::rules {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr std::chrono::seconds longest_wish(24 * 60 * 60); // ours: no server puts a message off for longer than a day
constexpr minutes until_the_sweep(1); // ours: of what has expired; it comes sooner, and a claim would only tell again
constexpr minutes without_login(5);   // ours: a server that offers no login is usually being repaired
constexpr minutes without_quota(60);  // ours: quotas are of a day or an hour, and their windows roll
// Ours: of the back-off, 15 minutes. Mail goes soon after a server is back, yet nobody hammers one that is down.
constexpr int last_uncounted_step = 3;

struct Context {
    const Delivery& delivery;
    const Identity& identity;
    const History& history;
    const Policy& policy;
    double chance;
};

// At least the server's wish, a quarter more by chance: those that were told the same do not come back together.
milliseconds respecting_wish(milliseconds own, const Outcome& outcome, double chance)
{
    if (!outcome.retry_after)
        return own;
    const milliseconds wish = std::clamp(*outcome.retry_after, std::chrono::seconds(0), longest_wish);
    const std::chrono::duration<double, std::milli> spread = wish * (1 + 0.25 * chance);
    return std::max(own, std::min<milliseconds>(std::chrono::duration_cast<milliseconds>(spread), longest_wish));
}

// A retry that uses up no try: 1, 5, then every 15 minutes, or not before `floor`.
RetryAt uncounted(const Context& c, milliseconds floor = {})
{
    const milliseconds grown = backoff(std::min(c.history.deferrals + 1, last_uncounted_step), c.chance);
    const std::chrono::duration<double, std::milli> spread = floor * (0.75 + 0.5 * c.chance);
    const milliseconds own = std::max(grown, std::chrono::duration_cast<milliseconds>(spread));
    return {respecting_wish(own, c.delivery.outcome, c.chance), false};
}

RetryAt at_once()
{
    return {milliseconds(0), false};
}

// ---- The recipients -------------------------------------------------------------------------------------------------

// Trouble of others that a server happens to tell at RCPT TO: never a reason to lose a recipient.
bool is_about_others(Scope scope)
{
    return scope != Scope::recipient && scope != Scope::message;
}

RecipientState state_by(Verdict transaction)
{
    switch (transaction) {
    case Verdict::accepted:
        return RecipientState::accepted;
    case Verdict::try_again:
        return RecipientState::open;
    case Verdict::give_up:
        return RecipientState::refused;
    case Verdict::in_doubt:
        return RecipientState::in_doubt;
    }
    return RecipientState::open;
}

// The message will never work as it is, whoever is to receive it.
bool is_lost(const Outcome& transaction)
{
    return transaction.verdict == Verdict::give_up && transaction.scope == Scope::message;
}

// A recipient whom the server took shares the fate of the transaction; one whom it did not take has its own.
RecipientState state_of(const Outcome& recipient, const Outcome& transaction)
{
    if (recipient.verdict == Verdict::in_doubt)
        return RecipientState::in_doubt;
    if (is_lost(transaction))
        return RecipientState::refused;
    if (recipient.verdict == Verdict::give_up && !is_about_others(recipient.scope))
        return RecipientState::refused;
    if (recipient.verdict != Verdict::accepted || transaction.verdict == Verdict::give_up)
        return RecipientState::open; // a transaction lost through others costs nobody whom the server took
    return state_by(transaction.verdict);
}

std::vector<RecipientState> states_of(const Delivery& delivery, const History& history)
{
    const auto count = static_cast<std::size_t>(std::max(history.recipients, 1));
    if (delivery.recipients.empty())
        return std::vector(count, state_by(delivery.outcome.verdict));
    std::vector<RecipientState> states;
    for (const Outcome& recipient : delivery.recipients)
        states.push_back(state_of(recipient, delivery.outcome));
    const auto not_tried = is_lost(delivery.outcome) ? RecipientState::refused : RecipientState::open;
    states.resize(std::max(count, states.size()), not_tried);
    return states;
}

bool any(const std::vector<RecipientState>& states, RecipientState state)
{
    return std::ranges::find(states, state) != states.end();
}

std::optional<RecipientState> plain_meaning(const Transition& transition)
{
    if (const auto* completed = std::get_if<Completed>(&transition)) {
        if (completed->end == Completed::End::partly_sent)
            return {};
        return completed->end == Completed::End::sent ? RecipientState::accepted : RecipientState::refused;
    }
    return std::holds_alternative<InDoubt>(transition) ? RecipientState::in_doubt : RecipientState::open;
}

Judgement judgement(Transition transition, std::vector<RecipientState> states)
{
    const auto plain = plain_meaning(transition);
    if (plain && std::ranges::all_of(states, [&](RecipientState state) { return state == *plain; }))
        states.clear();
    return {std::move(transition), Consequence::none, std::move(states)};
}

// ---- What becomes of the message ------------------------------------------------------------------------------------

InDoubt doubt(const Context& c)
{
    const bool again = c.policy.doubt == Policy::Doubt::resend_once && c.history.doubts == 0;
    return {again ? std::optional(c.policy.resend_after) : std::nullopt};
}

// No recipient is open.
Judgement settled(const Context& c, std::vector<RecipientState> states)
{
    if (c.history.doubtful_before || any(states, RecipientState::in_doubt))
        return judgement(doubt(c), std::move(states));
    const bool served = c.history.served_before || any(states, RecipientState::accepted);
    const bool refused = c.history.refused_before || any(states, RecipientState::refused);
    const auto end = !served ? Completed::End::failed : refused ? Completed::End::partly_sent : Completed::End::sent;
    return judgement(Completed{end}, std::move(states));
}

Judgement counted_retry(const Context& c, std::vector<RecipientState> states)
{
    const int attempt = c.history.attempts + 1;
    if (attempt >= c.policy.max_attempts) {
        std::ranges::replace(states, RecipientState::open, RecipientState::refused);
        return settled(c, std::move(states));
    }
    milliseconds delay = respecting_wish(backoff(attempt, c.chance), c.delivery.outcome, c.chance);
    for (const Outcome& recipient : c.delivery.recipients)
        if (recipient.verdict == Verdict::try_again)
            delay = respecting_wish(delay, recipient, c.chance);
    return judgement(RetryAt{delay, true}, std::move(states));
}

// 452 4.5.3 (RFC 5321 section 4.5.3.1.10) with others accepted: the rest go at once. Each round serves somebody, so it
// ends.
bool were_too_many(const Delivery& delivery, const std::vector<RecipientState>& states)
{
    const auto too_many = [](const Outcome& recipient) {
        return recipient.verdict == Verdict::try_again && recipient.cause == Cause::too_many_recipients;
    };
    return any(states, RecipientState::accepted) && std::ranges::any_of(delivery.recipients, too_many);
}

// Accepted, in doubt, or about the message and its recipients alone.
Judgement by_recipients(const Context& c)
{
    std::vector<RecipientState> states = states_of(c.delivery, c.history);
    if (!any(states, RecipientState::open))
        return settled(c, std::move(states));
    if (were_too_many(c.delivery, states))
        return judgement(at_once(), std::move(states));
    return counted_retry(c, std::move(states));
}

// ---- What is about others too ---------------------------------------------------------------------------------------

Judgement retry_all(RetryAt retry, Consequence consequence = Consequence::none)
{
    return {retry, consequence, {}};
}

Judgement by_dispatcher(const Context& c)
{
    return retry_all(uncounted(c), Consequence::dispatcher_troubled);
}

Judgement by_account(const Context& c)
{
    const Cause cause = c.delivery.outcome.cause;
    if (cause == Cause::basic_login_ended)
        return {Held{refused_login(c.identity, HoldReason::basic_login_ended)}, Consequence::basic_login_ended, {}};
    // Who did not log in cannot have been refused: such a relay wants a login now, which is no password's fault.
    if (cause == Cause::login_refused && c.identity.password)
        return {Held{refused_login(c.identity, HoldReason::auth_failed)}, Consequence::login_refused, {}};
    if (cause == Cause::login_refused || cause == Cause::login_unavailable)
        return retry_all(uncounted(c, without_login), Consequence::account_troubled);
    return retry_all(uncounted(c), Consequence::account_troubled);
}

std::vector<RecipientState> all_open(const Context& c)
{
    return std::vector(static_cast<std::size_t>(std::max(c.history.recipients, 1)), RecipientState::open);
}

Judgement by_sender_identity(const Context& c)
{
    const Outcome& outcome = c.delivery.outcome;
    if (outcome.verdict == Verdict::try_again && outcome.cause != Cause::sender_refused)
        return counted_retry(c, all_open(c)); // a delay is no denial
    return {Held{refused_sender(c.identity)}, Consequence::sender_refused, {}};
}

// The message's own commands start with MAIL FROM: what fails earlier says nothing of it.
bool is_before_the_message(Stage stage)
{
    switch (stage) {
    case Stage::mail_from:
    case Stage::rcpt_to:
    case Stage::data:
    case Stage::content:
    case Stage::final_dot:
        return false;
    default:
        return true;
    }
}

// A reused connection that turns out dead at its first command was closed while idle, which is nobody's fault.
bool was_closed_while_idle(const Delivery& delivery)
{
    const Outcome& outcome = delivery.outcome;
    constexpr int closing = 421; // RFC 5321 section 3.8
    const bool at_first_command = is_before_the_message(outcome.stage) || outcome.stage == Stage::mail_from;
    return delivery.reused_connection && at_first_command &&
           (outcome.cause == Cause::connection_lost || outcome.code == closing);
}

Judgement by_server(const Context& c)
{
    const Outcome& outcome = c.delivery.outcome;
    if (was_closed_while_idle(c.delivery))
        return retry_all(at_once());
    if (is_before_the_message(outcome.stage))
        return retry_all(uncounted(c), Consequence::account_troubled);
    // Within the message's commands it may be the message that the server cannot bear, so that it uses up a try.
    Delivery postponed = c.delivery;
    postponed.outcome.verdict = Verdict::try_again;
    const Context later{postponed, c.identity, c.history, c.policy, c.chance};
    return by_recipients(later);
}

} // namespace

Judgement decide(const Delivery& delivery, const Identity& identity, const History& history, const Policy& policy,
                 double chance)
{
    const Context c{delivery, identity, history, policy, chance};
    const Outcome& outcome = delivery.outcome;
    if (outcome.verdict == Verdict::accepted || outcome.verdict == Verdict::in_doubt)
        return by_recipients(c);
    if (outcome.cause == Cause::stopped)
        return retry_all(at_once());
    if (outcome.cause == Cause::expired)
        return retry_all({until_the_sweep, false});
    if (outcome.cause == Cause::throttled && outcome.scope != Scope::recipient)
        return retry_all(uncounted(c), Consequence::account_troubled);
    if (outcome.cause == Cause::quota && outcome.scope != Scope::recipient)
        return retry_all(uncounted(c, without_quota), Consequence::account_troubled);
    switch (outcome.scope) {
    case Scope::dispatcher:
        return by_dispatcher(c);
    case Scope::account:
        return by_account(c);
    case Scope::sender_identity:
        return by_sender_identity(c);
    case Scope::server:
        return by_server(c);
    case Scope::recipient:
    case Scope::message:
        break;
    }
    return by_recipients(c);
}

Judgement decide(const Hold& hold)
{
    return {Held{hold}, Consequence::none, {}};
}

} // namespace mailroom::rules
