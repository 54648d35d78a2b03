#include "service/rules/knowledge.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace mailroom::rules {
namespace {

constexpr std::array<std::pair<AccountState, std::string_view>, 7> account_states{{
    {AccountState::never_tried, "never_tried"},
    {AccountState::authenticated, "authenticated"},
    {AccountState::sign_in_failed, "sign_in_failed"},
    {AccountState::declined, "declined"},
    {AccountState::approval_required, "approval_required"},
    {AccountState::revoked, "revoked"},
    {AccountState::idle, "idle"},
}};

} // namespace

std::string_view to_string(AccountState state)
{
    return std::ranges::find(account_states, state, &std::pair<AccountState, std::string_view>::first)->second;
}

std::optional<AccountState> account_state_from(std::string_view text)
{
    const auto* found = std::ranges::find(account_states, text, &std::pair<AccountState, std::string_view>::second);
    return found == account_states.end() ? std::nullopt : std::optional(found->first);
}

} // namespace mailroom::rules
