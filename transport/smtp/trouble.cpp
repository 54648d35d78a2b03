#include "transport/smtp/trouble.hpp"

#include "config/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace mailroom::smtp {
namespace {

// Where a rule holds.
enum class At {
    any,
    before_login, // greeting, EHLO, STARTTLS
    starttls,
    auth,
    mail, // MAIL FROM and all that follows
    mail_from,
    rcpt,
    body,    // DATA, the content and the reply to its dot
    session, // RSET, QUIT, an idle link
};

constexpr int any_code = 0; // a single digit stands for all codes of that category
constexpr std::string_view any_text;
constexpr std::string_view any_status;
constexpr std::string_view no_status = "-"; // only where the server gave none

struct Rule {
    At at;
    int code;
    std::string_view status; // RFC 3463; "*.5.3": of any class
    std::string_view text;   // in lower case, anywhere in the server's words
    Verdict verdict;
    Scope scope;
    Cause cause;
};

constexpr auto again = Verdict::try_again;
constexpr auto never = Verdict::give_up;

// The first that fits decides. Refusals that concern more than the message are try_again even where the server's code
// is permanent: the message can go as soon as a setting, a quota or a password has changed.
constexpr auto rules = std::to_array<Rule>({
    // Microsoft ends logins with a password. 5.7.139 also stands for a wrong one, in so many words (freescout #4930).
    {At::any, 550, "5.7.30", any_text, again, Scope::account, Cause::basic_login_ended},
    {At::auth, 535, "5.7.139", "credentials were incorrect", again, Scope::account, Cause::login_refused},
    {At::auth, 535, "5.7.139", any_text, again, Scope::account, Cause::basic_login_ended},
    {At::auth, 5, any_status, "basic authentication is disabled", again, Scope::account, Cause::basic_login_ended},

    // Out of step: the server did not understand the dialogue as we did, which is no fault of the message.
    {At::auth, 503, any_status, "not available", again, Scope::account, Cause::login_unavailable},
    {At::mail, 503, any_status, "auth", again, Scope::account, Cause::login_unavailable}, // "503 AUTH first"
    {At::any, 503, any_status, any_text, again, Scope::server, Cause::protocol_error},
    {At::any, 2, any_status, any_text, again, Scope::server, Cause::protocol_error},
    {At::any, 3, any_status, any_text, again, Scope::server, Cause::protocol_error},

    // The server closes the link (RFC 5321 section 3.8).
    {At::any, 421, any_status, "too many", again, Scope::server, Cause::throttled},
    {At::any, 421, any_status, "rate limit", again, Scope::server, Cause::throttled},
    {At::any, 421, any_status, any_text, again, Scope::server, Cause::reply},

    // STARTTLS is only sent where it is required.
    {At::starttls, any_code, any_status, any_text, again, Scope::server, Cause::tls_failed},
    // Nothing was said of the account or of a message yet.
    {At::before_login, 4, any_status, "too many", again, Scope::server, Cause::throttled},
    {At::before_login, 4, any_status, "rate limit", again, Scope::server, Cause::throttled},
    {At::before_login, any_code, any_status, any_text, again, Scope::server, Cause::reply},
    {At::session, any_code, any_status, any_text, again, Scope::server, Cause::reply},

    // Too many recipients in one transaction (RFC 5321 section 4.5.3.1.10); 552 is RFC 821's code for it.
    {At::rcpt, any_code, "*.5.3", any_text, again, Scope::recipient, Cause::too_many_recipients},
    {At::rcpt, 452, any_status, "too many recipients", again, Scope::recipient, Cause::too_many_recipients},
    {At::rcpt, 552, no_status, "too many recipients", again, Scope::recipient, Cause::too_many_recipients},

    // Too fast: Exchange Online, Amazon SES and the like.
    {At::any, 432, "4.7.12", any_text, again, Scope::account, Cause::login_unavailable}, // a password transition
    {At::any, 432, any_status, any_text, again, Scope::account, Cause::throttled},
    {At::any, 4, "4.3.2", any_text, again, Scope::account, Cause::throttled},
    {At::any, 451, "4.7.500", any_text, again, Scope::server, Cause::throttled},
    {At::any, 4, any_status, "throttl", again, Scope::account, Cause::throttled},
    {At::any, 4, any_status, "sending rate", again, Scope::account, Cause::throttled},
    {At::any, 4, any_status, "rate limit", again, Scope::account, Cause::throttled},
    {At::any, 4, any_status, "too many messages", again, Scope::account, Cause::throttled},
    {At::any, 4, any_status, "too many connections", again, Scope::account, Cause::throttled},
    {At::any, 4, any_status, "concurrent connections", again, Scope::account, Cause::throttled},
    {At::auth, any_code, any_status, "too many", again, Scope::account, Cause::throttled}, // nodemailer #1350
    {At::auth, any_code, any_status, "rate limit", again, Scope::account, Cause::throttled},

    // The login (RFC 4954 section 6).
    {At::auth, 4, any_status, any_text, again, Scope::account, Cause::reply}, // 454 4.7.0: not the password's fault
    {At::auth, 500, any_status, any_text, again, Scope::account, Cause::login_unavailable},
    {At::auth, 502, any_status, any_text, again, Scope::account, Cause::login_unavailable},
    {At::auth, 504, any_status, any_text, again, Scope::account, Cause::login_unavailable},
    {At::auth, 538, any_status, any_text, again, Scope::account, Cause::login_unavailable}, // only over TLS
    {At::auth, 534, any_status, "mechanism", again, Scope::account, Cause::login_unavailable},
    {At::auth, 5, any_status, any_text, again, Scope::account, Cause::login_refused},
    {At::mail, 530, any_status, any_text, again, Scope::account, Cause::login_unavailable}, // asks for a login
    {At::mail, 5, any_status, "authentication required", again, Scope::account, Cause::login_unavailable},
    {At::mail, 5, any_status, "not authenticated", again, Scope::account, Cause::login_unavailable},
    {At::mail, 5, any_status, "rejected: not logged in", again, Scope::account, Cause::login_unavailable}, // Postfix

    // An account's quota: a day's, mostly.
    {At::mail, 554, "5.2.0", "submissionquotaexceeded", again, Scope::account, Cause::quota}, // Exchange Online
    {At::mail, 5, any_status, "submissionquotaexceeded", again, Scope::account, Cause::quota},
    {At::mail, 550, "5.4.5", any_text, again, Scope::account, Cause::quota}, // Gmail
    {At::mail, 5, any_status, "daily user sending", again, Scope::account, Cause::quota},
    {At::mail, 5, any_status, "sending quota", again, Scope::account, Cause::quota},
    {At::mail, 5, any_status, "sending limit", again, Scope::account, Cause::quota},
    {At::mail, 5, any_status, "limit exceeded, try again", again, Scope::account, Cause::quota}, // zotonic #3508
    {At::body, 554, "5.2.2", any_text, again, Scope::account, Cause::quota}, // the sender's Sent Items are full

    // Not as this sender. Postfix says so at RCPT TO, because it delays its verdicts until there.
    {At::mail, 5, "5.7.60", any_text, again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, "5.2.252", any_text, again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, any_status, "sendasdenied", again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, any_status, "permitted to send as", again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, any_status, "allowed to send as", again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, any_status, "permissions to send as", again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, any_status, "permission to send as", again, Scope::sender_identity, Cause::sender_refused},
    {At::mail, 5, any_status, "sender address rejected", again, Scope::sender_identity, Cause::sender_refused},
    {At::rcpt, 4, any_status, "sender address rejected", again, Scope::message, Cause::reply}, // a look-up failed
    {At::mail_from, 5, "5.7.1", any_text, again, Scope::sender_identity, Cause::sender_refused},
    {At::mail_from, 553, no_status, any_text, again, Scope::sender_identity, Cause::sender_refused},

    // The size (RFC 1870 section 6). Gmail's 552 5.7.0 is about content, and 5.2.2 about a full mailbox.
    {At::mail, 5, "5.3.4", any_text, never, Scope::message, Cause::too_large},
    {At::body, 552, "5.2.3", any_text, never, Scope::message, Cause::too_large},
    {At::mail_from, 552, "5.2.3", any_text, never, Scope::message, Cause::too_large},
    {At::body, 552, no_status, any_text, never, Scope::message, Cause::too_large},
    {At::mail_from, 552, no_status, any_text, never, Scope::message, Cause::too_large},
    {At::mail, 452, "4.3.1", any_text, again, Scope::server, Cause::reply}, // its disk is full

    // All else.
    {At::rcpt, 4, any_status, any_text, again, Scope::recipient, Cause::reply},
    {At::rcpt, 5, any_status, any_text, never, Scope::recipient, Cause::reply},
    {At::any, 4, any_status, any_text, again, Scope::message, Cause::reply},
    {At::any, 5, any_status, any_text, never, Scope::message, Cause::reply},
});

bool is_body(Stage stage)
{
    return stage == Stage::data || stage == Stage::content || stage == Stage::final_dot;
}

bool holds_at(At at, Stage stage)
{
    switch (at) {
    case At::any:
        return true;
    case At::before_login:
        return stage == Stage::greeting || stage == Stage::ehlo || stage == Stage::starttls;
    case At::starttls:
        return stage == Stage::starttls;
    case At::auth:
        return stage == Stage::auth;
    case At::mail:
        return stage == Stage::mail_from || stage == Stage::rcpt_to || is_body(stage);
    case At::mail_from:
        return stage == Stage::mail_from;
    case At::rcpt:
        return stage == Stage::rcpt_to;
    case At::body:
        return is_body(stage);
    case At::session:
        return stage == Stage::rset || stage == Stage::idle;
    }
    return false;
}

bool has_code(int rule, const Reply& reply)
{
    return rule == any_code || rule == reply.code || rule == reply.category();
}

bool has_status(std::string_view rule, std::string_view status)
{
    if (rule == no_status)
        return status.empty();
    if (rule.starts_with('*'))
        return status.size() > 1 && status.substr(1) == rule.substr(1);
    return rule.empty() || rule == status;
}

const Rule& rule_for(Stage stage, const Reply& reply, std::string_view words)
{
    const auto fits = [&](const Rule& rule) {
        return has_code(rule.code, reply) && holds_at(rule.at, stage) && has_status(rule.status, reply.enhanced) &&
               words.find(rule.text) != std::string_view::npos;
    };
    return *std::ranges::find_if(rules, fits); // the last four leave nothing
}

Scope scope_of(Cause cause)
{
    switch (cause) {
    case Cause::stopped:
    case Cause::unrecorded:
        return Scope::dispatcher;
    case Cause::content_unavailable:
    case Cause::expired:
        return Scope::message;
    default:
        return Scope::server;
    }
}

std::chrono::seconds unit_of(std::string_view word)
{
    if (word.starts_with("sec"))
        return std::chrono::seconds(1);
    if (word.starts_with("min"))
        return std::chrono::minutes(1);
    if (word.starts_with("hour"))
        return std::chrono::hours(1);
    return {};
}

} // namespace

Outcome classify(Stage stage, const Reply& reply)
{
    std::string text = reply.text();
    const Rule& rule = rule_for(stage, reply, ascii_lower(text));
    Outcome outcome{rule.verdict, rule.scope, rule.cause, stage, reply.code, reply.enhanced, std::move(text), {}};
    if (outcome.verdict == Verdict::try_again)
        outcome.retry_after = wish_in(outcome.text);
    return outcome;
}

Outcome outcome_of(const Loss& loss, Stage stage)
{
    return {Verdict::try_again, scope_of(loss.cause), loss.cause, stage, 0, {}, printable(loss.text, max_text), {}};
}

std::optional<std::chrono::seconds> wish_in(std::string_view text)
{
    constexpr std::chrono::seconds longest = std::chrono::hours(24); // ours
    constexpr std::string_view digits = "0123456789";
    for (std::size_t at = text.find_first_of(digits); at != std::string_view::npos;
         at = text.find_first_of(digits, at)) {
        const std::size_t end = std::min(text.find_first_not_of(digits, at), text.size());
        const std::string_view number = text.substr(at, end - at);
        const auto unit = unit_of(ascii_lower(trimmed(text.substr(end, 6))));
        at = end;
        if (unit.count() == 0 || number.size() > 5)
            continue;
        int count = 0;
        std::from_chars(number.data(), number.data() + number.size(), count);
        return std::min(longest, count * unit);
    }
    return {};
}

} // namespace mailroom::smtp
