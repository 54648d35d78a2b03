#include "transport/outcome.hpp"

namespace mailroom {

std::string_view to_string(Verdict verdict)
{
    switch (verdict) {
    case Verdict::accepted:
        return "accepted";
    case Verdict::try_again:
        return "try_again";
    case Verdict::give_up:
        return "give_up";
    case Verdict::in_doubt:
        return "in_doubt";
    }
    return "?";
}

std::string_view to_string(Scope scope)
{
    switch (scope) {
    case Scope::recipient:
        return "recipient";
    case Scope::message:
        return "message";
    case Scope::sender_identity:
        return "sender_identity";
    case Scope::account:
        return "account";
    case Scope::server:
        return "server";
    case Scope::dispatcher:
        return "dispatcher";
    }
    return "?";
}

std::string_view to_string(Cause cause)
{
    switch (cause) {
    case Cause::none:
        return "none";
    case Cause::reply:
        return "reply";
    case Cause::login_refused:
        return "login_refused";
    case Cause::basic_login_ended:
        return "basic_login_ended";
    case Cause::login_unavailable:
        return "login_unavailable";
    case Cause::throttled:
        return "throttled";
    case Cause::quota:
        return "quota";
    case Cause::sender_refused:
        return "sender_refused";
    case Cause::too_large:
        return "too_large";
    case Cause::too_many_recipients:
        return "too_many_recipients";
    case Cause::needs_smtputf8:
        return "needs_smtputf8";
    case Cause::name_not_found:
        return "name_not_found";
    case Cause::connection_refused:
        return "connection_refused";
    case Cause::connection_lost:
        return "connection_lost";
    case Cause::timed_out:
        return "timed_out";
    case Cause::tls_failed:
        return "tls_failed";
    case Cause::certificate:
        return "certificate";
    case Cause::protocol_error:
        return "protocol_error";
    case Cause::content_unavailable:
        return "content_unavailable";
    case Cause::unrecorded:
        return "unrecorded";
    case Cause::stopped:
        return "stopped";
    case Cause::expired:
        return "expired";
    }
    return "?";
}

std::string_view to_string(Stage stage)
{
    switch (stage) {
    case Stage::resolve:
        return "resolve";
    case Stage::connect:
        return "connect";
    case Stage::tls:
        return "tls";
    case Stage::greeting:
        return "greeting";
    case Stage::ehlo:
        return "ehlo";
    case Stage::starttls:
        return "starttls";
    case Stage::auth:
        return "auth";
    case Stage::mail_from:
        return "mail_from";
    case Stage::rcpt_to:
        return "rcpt_to";
    case Stage::data:
        return "data";
    case Stage::content:
        return "content";
    case Stage::final_dot:
        return "final_dot";
    case Stage::rset:
        return "rset";
    case Stage::idle:
        return "idle";
    }
    return "?";
}

} // namespace mailroom
