#include "service/rules/desktop.hpp"

#include "service/rules/sender.hpp"

#include <algorithm>

namespace mailroom::rules {
namespace {

// Whose own account in Outlook the address is; a mailbox opened through another account is not.
bool has_account(const DesktopAgent& agent, const MailAddress& address)
{
    return std::ranges::any_of(agent.accounts, [&](const DesktopAgent::Account& account) {
        return !account.linked && account.address == address;
    });
}

Decision handover(const Case& c, int row, Mode mode, std::optional<NamedAddress> from)
{
    const auto found = c.knowledge.agents.find(c.user->id);
    if (found == c.knowledge.agents.end())
        return held(c, row, HoldReason::waiting_desktop, {subject_of(*c.user)});
    const DesktopAgent& agent = found->second;
    if (mode == Mode::outlook && agent.outlook != DesktopAgent::Outlook::classic) {
        const bool only_new = agent.outlook == DesktopAgent::Outlook::only_new;
        return held(c, row, HoldReason::no_classic_outlook,
                    {subject_of(*c.user, only_new ? "only the new Outlook is there" : "")});
    }
    if (from && !has_account(agent, from->address))
        return held(c, row, HoldReason::outlook_account_missing, {subject_of(*c.user, from->address.written())});
    if (!c.knowledge.carries.desktop)
        return held(c, row, HoldReason::waiting_desktop, {subject_of(*c.user)});
    return {row_name(c, row), Handover{mode, c.user->id, c.user->code, std::move(from)}};
}

} // namespace

bool is_desktop(Mode mode)
{
    return mode == Mode::outlook || mode == Mode::other_client;
}

std::optional<Decision> by_desktop(const Case& c, const Deciding& deciding)
{
    if (!is_desktop(deciding.mode))
        return {};
    const int row = deciding.mode == Mode::outlook ? 3 : 5;
    if (!c.is_linked())
        return handover(c, row, deciding.mode, {});
    Sender sender = sender_for(*c.kind, linked_kind(c), c.settings.general, c.knowledge);
    if (!sender.from)
        return held(c, row, HoldReason::config_incomplete, {sender.from_subject});
    if (!c.has_usable_user())
        return held(c, row, HoldReason::no_user, {missing_user(c)});
    return handover(c, row, deciding.mode, std::move(sender.from));
}

} // namespace mailroom::rules
