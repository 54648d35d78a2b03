#include "service/explain/fields.hpp"

#include <algorithm>
#include <utility>

namespace mailroom::explain {
namespace {

std::string_view view_of(boost::json::string_view text)
{
    return {text.data(), text.size()};
}

boost::json::string_view key_of(std::string_view text)
{
    return {text.data(), text.size()};
}

} // namespace

Error all_of(const Problems& problems)
{
    std::string text;
    for (const std::string& problem : problems)
        text += (text.empty() ? "" : "\n") + problem;
    return Error{std::move(text)};
}

Fields::Fields(const boost::json::value& value, std::string place, Problems& problems)
    : place_(std::move(place)), problems_(problems)
{
    if (value.is_object())
        object_ = value.get_object();
    else
        problems_.push_back(place_ + ": must be an object");
}

void Fields::problem(std::string_view name, std::string_view text)
{
    problems_.push_back(place_ + "." + std::string(name) + ": " + std::string(text));
}

void Fields::allow_only(std::initializer_list<std::string_view> names)
{
    for (const auto& member : object_) {
        if (std::ranges::find(names, view_of(member.key())) == names.end())
            problem(view_of(member.key()), "is no such setting");
    }
}

const boost::json::value* Fields::member(std::string_view name) const
{
    const boost::json::value* value = object_.if_contains(key_of(name));
    return value == nullptr || value->is_null() ? nullptr : value;
}

bool Fields::has(std::string_view name) const
{
    return member(name) != nullptr;
}

std::string Fields::text(std::string_view name)
{
    const auto* value = member(name);
    if (value == nullptr)
        return {};
    if (value->is_string())
        return std::string(view_of(value->get_string()));
    problem(name, "must be a text");
    return {};
}

std::optional<bool> Fields::truth(std::string_view name)
{
    const auto* value = member(name);
    if (value == nullptr)
        return {};
    if (value->is_bool())
        return value->get_bool();
    problem(name, "must be true or false");
    return {};
}

std::optional<std::int64_t> Fields::number(std::string_view name)
{
    const auto* value = member(name);
    if (value == nullptr)
        return {};
    if (value->is_int64())
        return value->get_int64();
    problem(name, "must be a whole number");
    return {};
}

const boost::json::array& Fields::list(std::string_view name)
{
    static const boost::json::array none;
    const auto* value = member(name);
    if (value == nullptr)
        return none;
    if (value->is_array())
        return value->get_array();
    problem(name, "must be a list");
    return none;
}

} // namespace mailroom::explain
