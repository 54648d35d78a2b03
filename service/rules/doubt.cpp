#include "service/rules/doubt.hpp"

#include "config/text.hpp"

#include <algorithm>

namespace mailroom::rules {
namespace {

using Resend = std::optional<std::chrono::milliseconds>;

Resend meaning(const ServiceFile::DoubtRule& rule)
{
    return rule.policy == DoubtPolicy::resend_once ? Resend(rule.resend_after) : std::nullopt;
}

} // namespace

Resend DoubtRules::resend_after(Category category, std::string_view account) const
{
    if (const auto own = settings_.accounts.find(ascii_lower(account)); own != settings_.accounts.end())
        return meaning(own->second);
    const auto of_category = settings_.categories.find(category);
    return meaning(of_category != settings_.categories.end() ? of_category->second : settings_);
}

Resend DoubtRules::resend_after(Category category) const
{
    Resend strictest = resend_after(category, {});
    for (const auto& [account, rule] : settings_.accounts) {
        const Resend of_account = meaning(rule);
        strictest = strictest && of_account ? Resend(std::max(*strictest, *of_account)) : std::nullopt;
    }
    return strictest;
}

} // namespace mailroom::rules
