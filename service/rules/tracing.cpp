#include "service/rules/tracing.hpp"

#include "service/rules/desktop.hpp"
#include "service/rules/labels.hpp"

#include <utility>

namespace mailroom::rules {
namespace {

constexpr const char* stored_here = "stored";
constexpr const char* default_value = "default";
constexpr const char* no_value = "none";

TraceStep& begin(Trace& trace, int number, std::string question)
{
    if (!trace.steps.empty() && trace.steps.back().result.empty())
        trace.steps.back().result = "goes on";
    trace.steps.push_back({number, std::move(question), {}, {}});
    return trace.steps.back();
}

std::string yes_no(bool value)
{
    return value ? "yes" : "no";
}

// What was never saved has its default, and who saved the default has it no less.
std::string origin_of(std::string_view value, std::string_view default_of_it = {})
{
    return value.empty() ? no_value : value == default_of_it ? default_value : stored_here;
}

Looked looked_at(std::string setting, std::string value, std::string_view default_of_it = {})
{
    std::string origin = origin_of(value, default_of_it);
    return {std::move(setting), std::move(value), std::move(origin)};
}

std::string secret(const SealedSecret* value)
{
    return value != nullptr ? "stored" : "";
}

std::string named(const Subject& owner, std::string_view setting)
{
    Subject subject = owner;
    subject.field = setting;
    return describe(subject);
}

std::string why(const Case& c)
{
    const std::string_view kind = c.facts.row ? "Row" : "Model";
    switch (c.category) {
    case Category::mobile:
        return "MOBILE posted it";
    case Category::mass:
        return "it named a Row that had an address when it was enqueued";
    case Category::dispatch:
        return "it named a Model that had an address when it was enqueued";
    case Category::standard:
        break;
    }
    return c.facts.row || c.facts.model
               ? "the " + std::string(kind) + " that it named had no address when it was enqueued"
               : std::string("it named no Row and no Model");
}

Looked account_looked_at(const Case& c, const Sender& sender)
{
    Looked looked = looked_at(named(sender.subject, "account"), sender.account);
    if (c.category != Category::standard || sender.account.empty())
        return looked;
    const User& user = *c.user;
    if (!is_blank(user.account))
        return looked;
    looked.origin = is_blank(user.email) && c.settings.general.edition == Edition::cloud ? "default: the user code"
                                                                                         : "default: user.email";
    return looked;
}

std::string_view from_stored_in(const Case& c)
{
    return c.category == Category::standard ? std::string_view(c.user->from)
           : c.category == Category::mobile ? std::string_view(c.settings.general.from)
                                            : std::string_view(c.kind->from);
}

void look_at_server(TraceStep& step, const Sender& sender)
{
    const SmtpServer& server = *sender.server;
    const SmtpServer defaults;
    const bool inherited = sender.subject != sender.server_subject;
    const bool for_users = sender.ssl_label == label::users_use_ssl;
    const std::string inherited_from =
        for_users ? "inherited from general: the server for users" : "inherited from general";
    const std::string prefix = for_users ? "user_" : "";
    const auto add = [&](const std::string& setting, std::string value, const std::string& default_of_it) {
        Looked looked = looked_at(named(sender.server_subject, prefix + setting), std::move(value), default_of_it);
        if (inherited && !looked.value.empty())
            looked.origin = inherited_from;
        step.settings.push_back(std::move(looked));
    };
    add("server", std::string(trimmed(server.host)), {});
    add("port", std::to_string(server.port.number()), std::to_string(defaults.port.number()));
    add("use_ssl", yes_no(server.use_ssl), yes_no(defaults.use_ssl));
    add("login", yes_no(server.login), yes_no(defaults.login));
}

std::string words(DesktopAgent::Outlook outlook)
{
    return outlook == DesktopAgent::Outlook::classic    ? "classic Outlook"
           : outlook == DesktopAgent::Outlook::only_new ? "only the new Outlook"
                                                        : "no Outlook";
}

} // namespace

void trace_case(Trace* trace, const Case& c)
{
    if (trace == nullptr)
        return;
    TraceStep& step = begin(*trace, 1, "category " + std::string(to_string(c.category)) + ": " + why(c));
    if (!c.is_linked())
        return;
    const Subject subject =
        c.kind != nullptr ? subject_of(*c.kind, linked_kind(c)) : Subject{linked_kind(c), 0, "(deleted)", {}};
    step.settings.push_back(c.kind != nullptr ? looked_at(named(subject, "from"), std::string(trimmed(c.kind->from)))
                                              : Looked{named(subject, "from"), "", "deleted"});
}

void trace_user(Trace* trace, const Case& c)
{
    if (trace == nullptr || c.category != Category::standard)
        return;
    TraceStep& step = begin(*trace, 2, "the posting user");
    const Subject user = c.user != nullptr ? subject_of(*c.user) : missing_user(c);
    step.settings.push_back(c.user != nullptr ? looked_at(named(user, "enabled"), yes_no(c.user->enabled), yes_no(true))
                                              : Looked{named(user, "enabled"), "", user.field});
}

void trace_mode(Trace* trace, const Case& c, const Deciding& deciding)
{
    if (trace == nullptr)
        return;
    trace->mode = deciding.mode;
    TraceStep& step = begin(*trace, 3, "the deciding mode");
    const std::string mode(to_string(deciding.mode));
    const bool of_general = deciding.setting.kind == Subject::Kind::general;
    if (c.category == Category::standard && of_general)
        step.settings.push_back({named(subject_of(*c.user), "mode"), "same_as_general", default_value});
    if (c.is_linked() && of_general)
        step.settings.push_back({named(subject_of(*c.kind, linked_kind(c)), "mode"), "general", stored_here});
    const bool inherited = c.category == Category::standard && of_general;
    step.settings.push_back({named(deciding.setting, inherited ? "default_user_mode" : "mode"), mode,
                             inherited                     ? "inherited from general"
                             : of_general && c.is_linked() ? "link to general"
                                                           : origin_of(mode, to_string(Mode::not_configured))});
}

void trace_edition(Trace* trace, const Case& c, const Deciding& deciding)
{
    if (trace == nullptr || !is_desktop(deciding.mode))
        return;
    TraceStep& step = begin(*trace, 4, "a desktop mode needs the edition on_premise");
    step.settings.push_back(looked_at("general: edition", std::string(to_string(c.settings.general.edition)),
                                      to_string(Edition::on_premise)));
}

void trace_desktop(Trace* trace, const Case& c, const Deciding& deciding)
{
    if (trace == nullptr || !is_desktop(deciding.mode))
        return;
    TraceStep& step = begin(*trace, 5, "the desktop of the posting user");
    if (c.user == nullptr)
        return;
    const auto agent = c.knowledge.agents.find(c.user->id);
    const bool reports = agent != c.knowledge.agents.end();
    step.settings.push_back({named(subject_of(*c.user), "desktop agent"), reports ? words(agent->second.outlook) : "",
                             reports ? "reported" : "no report"});
}

void trace_fields(Trace* trace, const Case& c, const Sender& sender)
{
    if (trace == nullptr)
        return;
    TraceStep& step = begin(*trace, 6, "everything that is needed is there");
    const bool smtp = sender.mode == Mode::smtp;
    if (smtp)
        look_at_server(step, sender);
    step.settings.push_back(account_looked_at(c, sender));
    if (smtp && sender.server->login)
        step.settings.push_back(looked_at(named(sender.subject, "password"), secret(sender.password)));
    Subject from_owner = sender.from_subject;
    from_owner.field.clear();
    Looked from = looked_at(named(from_owner, "from"), sender.from ? to_string(*sender.from) : "");
    if (sender.from && is_blank(from_stored_in(c)))
        from.origin = "default: the account's address";
    step.settings.push_back(std::move(from));
}

void trace_cleartext(Trace* trace, const Sender& sender)
{
    if (trace == nullptr || sender.mode != Mode::smtp)
        return;
    TraceStep& step = begin(*trace, 7, "no password travels in clear text");
    const bool for_users = sender.ssl_label == label::users_use_ssl;
    step.settings.push_back(
        looked_at(named(sender.server_subject, for_users ? "user_allow_cleartext" : "allow_cleartext"),
                  yes_no(sender.server->allow_cleartext), yes_no(false)));
}

void trace_account(Trace* trace, const Case& c, const Sender& sender)
{
    if (trace == nullptr)
        return;
    TraceStep& step = begin(*trace, 8, "what is known of the account");
    if (sender.mode == Mode::office365) {
        const std::string remark = sender.lacks_sending_for_others ? ", consent lacks sending for others" : "";
        step.settings.push_back(
            {named(sender.subject, "status"), std::string(to_string(sender.state)) + remark, "status"});
        step.settings.push_back({named(sender.subject, "account's address"),
                                 sender.address ? sender.address->written() : "",
                                 sender.is_signed_in() ? "the mailbox that signed in, or the account" : default_value});
        return;
    }
    const auto refused = c.knowledge.refused_logins.find(sender.owner);
    const bool is_refused = refused != c.knowledge.refused_logins.end();
    step.settings.push_back({named(sender.subject, "refused login"),
                             is_refused ? std::string(to_string(refused->second)) : "none",
                             sender.server->login ? "status" : "not looked at: the server asks for no login"});
}

void trace_pair(Trace* trace, const Identity& identity)
{
    if (trace == nullptr)
        return;
    TraceStep& step = begin(*trace, 9, "what is known of this account with this From");
    const RefusedPair pair = pair_of(identity);
    step.settings.push_back(
        {"pair", std::string(to_string(pair.mode)) + ", " + pair.account + ", " + pair.from.written(), "status"});
}

void trace_sending(Trace* trace, const Sender& sender, const Identity& identity)
{
    if (trace == nullptr)
        return;
    TraceStep& step = begin(*trace, 10, "as whom");
    const bool is_own = sender.address && *sender.address == identity.from.address;
    step.settings.push_back({named(sender.subject, "account's address"),
                             sender.address ? sender.address->written() : "", is_own ? "equal to From" : "not From"});
    if (identity.mode == Mode::smtp && sender.address && !is_own)
        step.settings.push_back(looked_at(named(sender.subject, "send_as"), yes_no(sender.send_as), yes_no(false)));
}

void trace_answer(Trace* trace, const Decision& decision)
{
    if (trace == nullptr || trace->steps.empty())
        return;
    const std::string answer = decision.hold() != nullptr       ? "held: " + describe(*decision.hold())
                               : decision.identity() != nullptr ? describe(*decision.identity())
                                                                : describe(*decision.handover());
    trace->steps.back().result = decision.table_row + ": " + answer;
}

std::string describe(const Identity& identity)
{
    if (identity.mode == Mode::office365)
        return "sent by office365 account " + identity.account + " as " + to_string(identity.from);
    return "sent by smtp account " + (identity.account.empty() ? "(no login)" : identity.account) + " at " +
           identity.host + ":" + std::to_string(identity.port.number()) + " as " + to_string(identity.from) +
           (identity.sender ? ", Sender " + identity.sender->written() : std::string()) + ", envelope sender " +
           identity.envelope_sender.written();
}

std::string describe(const Handover& handover)
{
    return "handed over to the desktop of user " + handover.user_code + " (" + std::string(to_string(handover.mode)) +
           ") as " + (handover.from ? to_string(*handover.from) : "its default account");
}

} // namespace mailroom::rules
