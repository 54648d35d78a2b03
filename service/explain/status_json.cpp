#include "service/explain/status_json.hpp"

#include "config/text.hpp"

#include "service/explain/fields.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace mailroom::explain {
namespace {

std::optional<std::int32_t> user_named(Fields& fields, std::string_view name, std::string_view code,
                                       const MailSettings& settings)
{
    const auto found = settings.user_ids.find(trimmed(code));
    if (found != settings.user_ids.end())
        return found->second;
    fields.problem(name, "there is no user \"" + std::string(code) + "\"");
    return {};
}

// general, or user ANNA
std::optional<Owner> owner_named(Fields& fields, const MailSettings& settings)
{
    constexpr std::string_view user = "user ";
    const std::string owner = fields.text("owner");
    if (owner == "general")
        return Owner::general();
    if (!owner.starts_with(user)) {
        fields.problem("owner", "must be general, or user and a code");
        return {};
    }
    const auto id = user_named(fields, "owner", std::string_view(owner).substr(user.size()), settings);
    return id ? std::optional(Owner::user(*id)) : std::nullopt;
}

std::optional<MailAddress> address_in(Fields& fields, std::string_view name)
{
    const std::string text = fields.text(name);
    if (trimmed(text).empty())
        return {};
    auto address = MailAddress::parse(text);
    if (address)
        return *std::move(address);
    fields.problem(name, address.error().text);
    return {};
}

void read_account(Fields fields, const MailSettings& settings, rules::Knowledge& knowledge)
{
    fields.allow_only(
        {"owner", "state", "text", "checked_at", "account", "mailbox", "aliases", "lacks_sending_for_others"});
    const auto owner = owner_named(fields, settings);
    rules::AccountStatus status;
    const std::string state = fields.text("state");
    if (const auto known = rules::account_state_from(state))
        status.state = *known;
    else
        fields.problem("state", "\"" + state +
                                    "\" is none of authenticated, never_tried, sign_in_failed, declined, "
                                    "approval_required, revoked, idle");
    if (fields.has("account"))
        status.account = std::string(trimmed(fields.text("account")));
    status.mailbox = address_in(fields, "mailbox");
    status.lacks_sending_for_others = fields.truth("lacks_sending_for_others").value_or(false);
    if (fields.has("aliases")) {
        status.aliases.emplace();
        for (const auto& alias : fields.list("aliases")) {
            const auto* text = alias.if_string();
            auto address = MailAddress::parse(text != nullptr ? std::string_view(text->data(), text->size()) : "");
            if (address)
                status.aliases->push_back(*std::move(address));
            else
                fields.problem("aliases", address.error().text);
        }
    }
    if (owner)
        knowledge.accounts.emplace(*owner, std::move(status));
}

void read_login(Fields fields, const MailSettings& settings, rules::Knowledge& knowledge)
{
    fields.allow_only({"owner", "reason"});
    const auto owner = owner_named(fields, settings);
    const std::string reason = fields.text("reason");
    const bool has_ended = reason == "basic_login_ended";
    if (!has_ended && reason != "auth_failed")
        fields.problem("reason", "must be auth_failed or basic_login_ended");
    if (owner)
        knowledge.refused_logins.emplace(*owner, has_ended ? rules::HoldReason::basic_login_ended
                                                           : rules::HoldReason::auth_failed);
}

void read_pair(Fields fields, rules::Knowledge& knowledge)
{
    fields.allow_only({"mode", "account", "from"});
    const std::string mode = fields.has("mode") ? fields.text("mode") : "smtp";
    if (mode != "smtp" && mode != "office365")
        fields.problem("mode", "must be smtp or office365");
    const std::string account(trimmed(fields.text("account")));
    if (account.empty())
        fields.problem("account", "the account, or without one the name of its server");
    auto from = address_in(fields, "from");
    if (from)
        knowledge.refused_pairs.push_back({mode_from(mode).value_or(Mode::smtp), account, *std::move(from)});
    else if (!fields.has("from"))
        fields.problem("from", "must be an address");
}

void read_agent(Fields fields, const MailSettings& settings, rules::Knowledge& knowledge, Problems& problems)
{
    using Outlook = rules::DesktopAgent::Outlook;
    constexpr std::array<std::pair<std::string_view, Outlook>, 3> kinds{
        {{"none", Outlook::none}, {"only_new", Outlook::only_new}, {"classic", Outlook::classic}}};
    fields.allow_only({"user", "outlook", "accounts"});
    const auto user = user_named(fields, "user", fields.text("user"), settings);
    rules::DesktopAgent agent;
    const std::string outlook = fields.has("outlook") ? fields.text("outlook") : "none";
    bool is_known = false;
    for (const auto& [name, kind] : kinds) {
        if (name == outlook) {
            agent.outlook = kind;
            is_known = true;
        }
    }
    if (!is_known)
        fields.problem("outlook", "must be none, only_new or classic");
    for (const auto& value : fields.list("accounts")) {
        Fields account(value, fields.place() + ".accounts", problems);
        account.allow_only({"address", "linked"});
        const bool linked = account.truth("linked").value_or(false);
        if (auto address = address_in(account, "address"))
            agent.accounts.push_back({*std::move(address), linked});
    }
    if (user)
        knowledge.agents.emplace(*user, std::move(agent));
}

std::string numbered(std::string_view name, std::size_t number)
{
    return std::string(name) + " no. " + std::to_string(number);
}

} // namespace

Result<rules::Knowledge> knowledge_from(const boost::json::value& status, const MailSettings& settings)
{
    Problems problems;
    rules::Knowledge knowledge;
    Fields all(status, "status", problems);
    all.allow_only({"format", "accounts", "refused_logins", "refused_pairs", "agents", "key_missing"});
    if (const std::string format = all.text("format"); all.has("format") && format != "mailroom status 1")
        all.problem("format", fmt::format(R"("{}" is not "mailroom status 1")", format));
    knowledge.key_missing = all.truth("key_missing").value_or(false);
    std::size_t number = 0;
    for (const auto& value : all.list("accounts"))
        read_account(Fields(value, numbered("accounts", ++number), problems), settings, knowledge);
    number = 0;
    for (const auto& value : all.list("refused_logins"))
        read_login(Fields(value, numbered("refused_logins", ++number), problems), settings, knowledge);
    number = 0;
    for (const auto& value : all.list("refused_pairs"))
        read_pair(Fields(value, numbered("refused_pairs", ++number), problems), knowledge);
    number = 0;
    for (const auto& value : all.list("agents"))
        read_agent(Fields(value, numbered("agents", ++number), problems), settings, knowledge, problems);
    if (!problems.empty())
        return all_of(problems);
    return knowledge;
}

} // namespace mailroom::explain
