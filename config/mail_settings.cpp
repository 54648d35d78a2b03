#include "config/mail_settings.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace mailroom {
namespace {

template <class Enum, std::size_t size>
using Names = std::array<std::pair<Enum, std::string_view>, size>;

constexpr Names<Edition, 2> editions{{{Edition::on_premise, "on_premise"}, {Edition::cloud, "cloud"}}};
constexpr Names<Mode, 5> modes{{{Mode::not_configured, "not_configured"},
                                {Mode::outlook, "outlook"},
                                {Mode::office365, "office365"},
                                {Mode::smtp, "smtp"},
                                {Mode::other_client, "other_client"}}};
constexpr Names<Category, 4> categories{{{Category::standard, "standard"},
                                         {Category::mass, "mass"},
                                         {Category::dispatch, "dispatch"},
                                         {Category::mobile, "mobile"}}};
constexpr Names<Lane, 3> lanes{{{Lane::urgent, "urgent"}, {Lane::normal, "normal"}, {Lane::bulk, "bulk"}}};
constexpr Names<LinkMode, 3> link_modes{
    {{LinkMode::not_configured, "not_configured"}, {LinkMode::outlook, "outlook"}, {LinkMode::general, "general"}}};

template <class Enum, std::size_t size>
std::string_view name_of(const Names<Enum, size>& names, Enum value)
{
    return std::ranges::find(names, value, &std::pair<Enum, std::string_view>::first)->second;
}

template <class Enum, std::size_t size>
std::optional<Enum> value_of(const Names<Enum, size>& names, std::string_view name)
{
    const auto* found = std::ranges::find(names, name, &std::pair<Enum, std::string_view>::second);
    return found == names.end() ? std::nullopt : std::optional(found->first);
}

} // namespace

std::string_view to_string(Edition edition)
{
    return name_of(editions, edition);
}
std::string_view to_string(Mode mode)
{
    return name_of(modes, mode);
}
std::string_view to_string(Category category)
{
    return name_of(categories, category);
}
std::string_view to_string(Lane lane)
{
    return name_of(lanes, lane);
}
std::string_view to_string(LinkMode mode)
{
    return name_of(link_modes, mode);
}
std::optional<Edition> edition_from(std::string_view text)
{
    return value_of(editions, text);
}
std::optional<Mode> mode_from(std::string_view text)
{
    return value_of(modes, text);
}
std::optional<Lane> lane_from(std::string_view text)
{
    return value_of(lanes, text);
}
std::optional<LinkMode> link_mode_from(std::string_view text)
{
    return value_of(link_modes, text);
}

AccountLimits limits_of(const MailSettings& settings, const std::string& server, const std::string& login)
{
    auto found = settings.limits.find({server, login});
    if (found == settings.limits.end())
        found = settings.limits.find({server, "*"});
    return found == settings.limits.end() ? AccountLimits{} : found->second;
}

} // namespace mailroom
