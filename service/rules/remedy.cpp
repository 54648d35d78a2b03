// What ends a hold, in one sentence for the person who must do it.
#include "service/rules/hold.hpp"
#include "service/rules/labels.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace mailroom::rules {
namespace {

// As one word of a command line.
std::string word(const std::string& code)
{
    const bool plain = std::ranges::all_of(code, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               std::string_view("._-@+").find(c) != std::string_view::npos;
    });
    return plain && !code.empty() ? code : "\"" + code + "\"";
}

bool has_account(const Subject& subject)
{
    return subject.kind == Subject::Kind::general || subject.kind == Subject::Kind::user;
}

// general, or user ANNA: whose account, as the command line names it.
std::string account_words(const Subject& subject)
{
    return subject.kind == Subject::Kind::user ? "user " + word(subject.code) : std::string("general");
}

std::string bare(Subject subject)
{
    subject.field.clear();
    return describe(subject);
}

// The field on the command line; empty: a secret, or not of an account.
std::string_view key_of(std::string_view field)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> keys{{
        {label::default_mode, "default_user_mode=..."},
        {label::mode, "mode=..."},
        {label::login, "account=..."},
        {label::mailbox, "account=..."},
        {label::from, "from=..."},
        {label::server, "server=..."},
        {label::use_ssl, "use_ssl=yes"},
        {label::users_use_ssl, "user_use_ssl=yes"},
    }};
    const auto* found = std::ranges::find(keys, field, &std::pair<std::string_view, std::string_view>::first);
    return found == keys.end() ? std::string_view() : found->second;
}

// The fields of one owner, and behind them the commands that set them.
struct Repair {
    Subject owner;
    std::string fields;
    std::string settings;
    bool password = false;
};

std::vector<Repair> repairs(const std::vector<Subject>& subjects)
{
    std::vector<Repair> result;
    for (const Subject& subject : subjects) {
        const auto same = [&](const Repair& r) { return r.owner.kind == subject.kind && r.owner.id == subject.id; };
        auto repair = std::ranges::find_if(result, same);
        if (repair == result.end())
            repair = result.insert(result.end(), Repair{subject, {}, {}, false});
        repair->fields += (repair->fields.empty() ? "" : ", ") + subject.field;
        repair->password |= subject.field == label::password;
        if (const auto key = key_of(subject.field); has_account(subject) && !key.empty())
            repair->settings += " " + std::string(key);
    }
    return result;
}

std::string commands(const Repair& repair)
{
    std::string text;
    if (!repair.settings.empty())
        text = "mailroom account set " + account_words(repair.owner) + repair.settings;
    if (repair.password)
        text += (text.empty() ? "" : "; ") + ("mailroom account password " + account_words(repair.owner));
    return text.empty() ? text : " (" + text + ")";
}

// Server Name, Password of general (mailroom ...) and Email Account for Sending of row INV
std::string all_repairs(const std::vector<Subject>& subjects)
{
    std::string text;
    for (const Repair& repair : repairs(subjects))
        text += (text.empty() ? "" : " and ") + repair.fields + " of " + bare(repair.owner) + commands(repair);
    return text;
}

std::string probe(const Subject& subject)
{
    return "mailroom account probe " + account_words(subject);
}

// The mode belongs to the account of General or a User, or to a Row or Model.
std::string set_mode(const Subject& subject)
{
    return subject.field + " of " + bare(subject) + commands(repairs({subject}).front());
}

std::string no_user(const Subject& subject)
{
    const bool gone = subject.code.empty() || subject.field == "deleted";
    if (gone)
        return "An operator must name the user who sends it, or cancel it.";
    const std::string verb = subject.id == 0 ? "create" : "enable";
    return "An administrator must " + verb + " " + bare(subject) +
           ", or an operator names another user or cancels the message.";
}

std::string auth_failed(const Subject& subject)
{
    return "The server refused the login of " + bare(subject) +
           ": enter the right password (mailroom account password " + account_words(subject) +
           ") or correct the account or the server; to try once more as it is: " + probe(subject) + ".";
}

std::string basic_login_ended(const Subject& subject)
{
    return "The server takes no passwords any more and a new one does not help: set the Mailing Mode of " +
           bare(subject) + " to Office 365 - Modern Authentication (mailroom account set " + account_words(subject) +
           " mode=office365); if the provider allowed passwords again: " + probe(subject) + ".";
}

std::string send_as_denied(const Hold& hold)
{
    const Subject& account = hold.subjects.front();
    const Subject& from = hold.subjects.back();
    return "The mail server's administrator must allow " + account.field + " (" + bare(account) + ") to send as " +
           from.field + ", or an administrator changes the address of " + bare(from) +
           "; it is tried again from time to time, and at once with: " + probe(account) + ".";
}

std::string on_the_desktop(const Hold& hold)
{
    const Subject& user = hold.subjects.front();
    if (hold.reason == HoldReason::no_classic_outlook && !user.field.empty())
        return "The new Outlook has no interface to send by, and no other is on the desktop of " + bare(user) +
               ": choose the Mailing Mode Office 365 - Modern Authentication, or install the classic Microsoft "
               "Outlook.";
    if (hold.reason == HoldReason::no_classic_outlook)
        return "Install or repair the classic Microsoft Outlook of " + bare(user) + ", or choose another Mailing Mode.";
    if (hold.reason == HoldReason::outlook_account_missing)
        return "Add the account " + user.field + " to the Outlook of " + bare(user) + ", or change the address.";
    return "The desktop agent of " + bare(user) +
           " must be running, or an administrator chooses a Mailing Mode without a desktop.";
}

std::string sentence(const Hold& hold)
{
    const Subject& subject = hold.subjects.front();
    switch (hold.reason) {
    case HoldReason::no_user:
        return no_user(subject);
    case HoldReason::mode_not_configured:
        return "An administrator must choose the " + set_mode(subject) + ".";
    case HoldReason::mode_unavailable_on_cloud:
        return "This mode needs a desktop and there is none on cloud: an administrator must choose another " +
               set_mode(subject) + ".";
    case HoldReason::config_incomplete:
        return "An administrator must fill in " + all_repairs(hold.subjects) + ".";
    case HoldReason::cleartext_password:
        return "The password would travel unencrypted: an administrator must switch on " + all_repairs(hold.subjects) +
               ", or allow it for this server.";
    case HoldReason::auth_required:
        return "Somebody must sign in with the Office 365 account of " + bare(subject) +
               ": the user in Preferences, or an administrator.";
    case HoldReason::admin_approval_required:
        return "An administrator of the Microsoft 365 tenant must approve the application, and then somebody signs in "
               "again with "
               "the account of " +
               bare(subject) + ".";
    case HoldReason::consent_missing:
        return "Somebody must sign in again with the Office 365 account of " + bare(subject) +
               " and agree to sending for others.";
    case HoldReason::auth_failed:
        return auth_failed(subject);
    case HoldReason::basic_login_ended:
        return basic_login_ended(subject);
    case HoldReason::send_as_denied:
        return send_as_denied(hold);
    case HoldReason::waiting_desktop:
    case HoldReason::no_classic_outlook:
    case HoldReason::outlook_account_missing:
        return on_the_desktop(hold);
    case HoldReason::address_removed:
        return "An administrator must set " + subject.field + " of " + bare(subject) +
               " again, or an operator names another or cancels the message.";
    case HoldReason::copied_from:
        return "This database was copied from another installation: run mailroom adopt, then an operator releases or "
               "cancels what "
               "waits.";
    case HoldReason::key_missing:
        return "The stored passwords cannot be opened: give the service its key and restart it.";
    case HoldReason::identity_changed:
        return "Part of it may already have gone out under the older sender: an operator must cancel it, or release it "
               "under the new sender, or under the older one once an administrator has restored the settings.";
    case HoldReason::in_doubt:
        return "The server may have taken it without answering: an operator must ask the recipient or the server, then "
               "release "
               "or cancel it.";
    case HoldReason::quarantined:
        return "Three dispatchers died while they had it: an operator must look what is special about it, then release "
               "or cancel it.";
    }
    return {};
}

} // namespace

std::string remedy(const Hold& hold)
{
    return hold.subjects.empty() ? std::string() : sentence(hold);
}

} // namespace mailroom::rules
