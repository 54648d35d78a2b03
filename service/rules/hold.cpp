#include "service/rules/hold.hpp"

#include <algorithm>

namespace mailroom::rules {
namespace {

std::string_view name_of(Subject::Kind kind)
{
    switch (kind) {
    case Subject::Kind::general:
        return "general";
    case Subject::Kind::user:
        return "user";
    case Subject::Kind::row:
        return "row";
    case Subject::Kind::model:
        return "model";
    case Subject::Kind::message:
        return "message";
    }
    return "?";
}

bool is_unknown_user(const Subject& subject)
{
    return subject.kind == Subject::Kind::user && subject.id == 0;
}

// With the separators of a place's key taken out of the way.
std::string escaped(std::string_view text)
{
    std::string result;
    for (const char c : text) {
        if (c == '\\' || c == '|' || c == ':')
            result += '\\';
        result += c;
    }
    return result;
}

} // namespace

std::string_view to_string(HoldReason reason)
{
    switch (reason) {
    case HoldReason::no_user:
        return "no_user";
    case HoldReason::mode_not_configured:
        return "mode_not_configured";
    case HoldReason::mode_unavailable_on_cloud:
        return "mode_unavailable_on_cloud";
    case HoldReason::config_incomplete:
        return "config_incomplete";
    case HoldReason::cleartext_password:
        return "cleartext_password";
    case HoldReason::auth_required:
        return "auth_required";
    case HoldReason::admin_approval_required:
        return "admin_approval_required";
    case HoldReason::consent_missing:
        return "consent_missing";
    case HoldReason::auth_failed:
        return "auth_failed";
    case HoldReason::basic_login_ended:
        return "basic_login_ended";
    case HoldReason::send_as_denied:
        return "send_as_denied";
    case HoldReason::waiting_desktop:
        return "waiting_desktop";
    case HoldReason::no_classic_outlook:
        return "no_classic_outlook";
    case HoldReason::outlook_account_missing:
        return "outlook_account_missing";
    case HoldReason::address_removed:
        return "address_removed";
    case HoldReason::copied_from:
        return "copied_from";
    case HoldReason::key_missing:
        return "key_missing";
    case HoldReason::identity_changed:
        return "identity_changed";
    case HoldReason::in_doubt:
        return "in_doubt";
    case HoldReason::quarantined:
        return "quarantined";
    }
    return "?";
}

std::string describe(const Subject& subject)
{
    std::string text(name_of(subject.kind));
    if (!subject.code.empty())
        text += " " + subject.code;
    else if (subject.id != 0) // deleted: its code is gone with it
        text += " no. " + std::to_string(subject.id);
    return subject.field.empty() ? text : text + ": " + subject.field;
}

std::string describe(const Hold& hold)
{
    std::string text(to_string(hold.reason));
    std::string_view before = "(";
    for (const Subject& subject : hold.subjects) {
        text += std::string(before) + describe(subject);
        before = "; ";
    }
    return hold.subjects.empty() ? text : text + ")";
}

bool ends_with_settings(HoldReason reason)
{
    switch (reason) {
    case HoldReason::copied_from:
    case HoldReason::identity_changed:
    case HoldReason::in_doubt:
    case HoldReason::quarantined:
        return false; // an operator ends them
    default:
        return true;
    }
}

std::string place_key(const Hold& hold)
{
    std::string key(to_string(hold.reason));
    for (const Subject& subject : hold.subjects) {
        key += "|" + std::string(name_of(subject.kind));
        if (is_unknown_user(subject))
            key += "-code " + escaped(subject.code);
        else if (subject.id != 0)
            key += " " + std::to_string(subject.id);
        if (!subject.field.empty())
            key += ":" + escaped(subject.field);
    }
    return key;
}

std::vector<std::string> owners(const Hold& hold)
{
    std::vector<std::string> result;
    const auto add = [&](std::string owner) {
        if (std::ranges::find(result, owner) == result.end())
            result.push_back(std::move(owner));
    };
    for (const Subject& subject : hold.subjects) {
        if (subject.kind == Subject::Kind::general)
            add("general");
        else if (is_unknown_user(subject) && !subject.code.empty())
            add("user-code:" + subject.code);
        else if (subject.id != 0)
            add(std::string(name_of(subject.kind)) + ":" + std::to_string(subject.id));
    }
    return result;
}

} // namespace mailroom::rules
