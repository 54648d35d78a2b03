#include "service/explain/message_line.hpp"

#include "config/text.hpp"

#include "service/explain/fields.hpp"

#include <optional>

namespace mailroom::explain {
namespace {

constexpr std::int32_t deleted = 0; // no id is 0

template <class Map>
const DocumentKind* with_code(const Map& map, std::string_view code)
{
    for (const auto& [id, kind] : map) {
        if (kind.code == code)
            return &kind;
    }
    return nullptr;
}

struct Named {
    std::string row;
    std::string model;
    bool is_mobile = false;
    std::optional<bool> addressed; // given: the message waits already, and what it names may be gone
};

void read_category(Fields& fields, Named& named)
{
    if (!fields.has("category"))
        return;
    const std::string category = fields.text("category");
    named.is_mobile = category == "mobile";
    named.addressed = category == "mass" || category == "dispatch";
    if ((category == "mass" && named.row.empty()) || (category == "dispatch" && named.model.empty()))
        fields.problem("category", category + " needs a form or a model");
    else if (category != "mass" && category != "dispatch" && category != "mobile" && category != "standard")
        fields.problem("category", "must be standard, mass, dispatch or mobile");
}

Named named_in(Fields& fields)
{
    fields.allow_only({"id", "user", "form", "row", "model", "mobile", "addressed", "category"});
    if (const auto* id = fields.member("id"); id != nullptr && !id->is_string() && !id->is_int64())
        fields.problem("id", "must be a text or a whole number");
    Named named;
    named.row = trimmed(fields.text(fields.has("form") ? "form" : "row"));
    named.model = trimmed(fields.text("model"));
    read_category(fields, named);
    named.is_mobile |= fields.truth("mobile").value_or(false);
    if (const auto addressed = fields.truth("addressed"))
        named.addressed = addressed;
    return named;
}

std::string quoted(const std::string& code)
{
    return "\"" + code + "\"";
}

// What the message names; nothing is checked of what MOBILE posts.
std::optional<Refused> name_document(rules::Facts& facts, const Named& named, const MailSettings& settings)
{
    const DocumentKind* row = with_code(settings.rows, named.row);
    const DocumentKind* model = with_code(settings.models, named.model);
    if (named.is_mobile)
        return {};
    if (!named.row.empty() && !named.model.empty())
        return Refused{"a message names a form (" + quoted(named.row) + ") or a model (" + quoted(named.model) +
                           "), not both",
                       {named.row, named.model}};
    if (!named.row.empty() && row == nullptr && !named.addressed)
        return Refused{"there is no form " + quoted(named.row), {named.row}};
    if (!named.model.empty() && model == nullptr && !named.addressed)
        return Refused{"there is no model " + quoted(named.model), {named.model}};
    if (!named.row.empty())
        facts.row = row != nullptr ? row->id : deleted;
    if (!named.model.empty())
        facts.model = model != nullptr ? model->id : deleted;
    const DocumentKind* const kind = row != nullptr ? row : model;
    facts.addressed = named.addressed.value_or(kind != nullptr && !trimmed(kind->from).empty());
    return {};
}

} // namespace

std::variant<rules::Facts, Refused> facts_from(const boost::json::value& line, const MailSettings& settings)
{
    Problems problems;
    Fields fields(line, "message", problems);
    const Named named = named_in(fields);
    rules::Facts facts;
    facts.source = named.is_mobile ? rules::Source::mobile : rules::Source::erp;
    facts.user_code = trimmed(fields.text("user"));
    if (!problems.empty())
        return Refused{all_of(problems).text, {}};
    const auto user = settings.user_ids.find(facts.user_code);
    if (user != settings.user_ids.end())
        facts.user = user->second;
    if (auto refused = name_document(facts, named, settings))
        return *std::move(refused);
    return facts;
}

} // namespace mailroom::explain
