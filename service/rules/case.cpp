#include "service/rules/case.hpp"

#include "service/rules/labels.hpp"
#include "service/rules/sender.hpp"

namespace mailroom::rules {
namespace {

template <class Map>
const typename Map::mapped_type* find(const Map& map, std::optional<std::int32_t> id)
{
    const auto found = id ? map.find(*id) : map.end();
    return found == map.end() ? nullptr : &found->second;
}

// By id; by code only where nobody had that code when the message was enqueued, so that making the User frees it.
const User* posting_user(const Facts& facts, const MailSettings& settings)
{
    if (facts.user)
        return find(settings.users, facts.user);
    const auto named = settings.user_ids.find(trimmed(facts.user_code));
    return named == settings.user_ids.end() || is_blank(facts.user_code) ? nullptr
                                                                         : find(settings.users, named->second);
}

} // namespace

Subject::Kind linked_kind(const Case& c)
{
    return c.category == Category::mass ? Subject::Kind::row : Subject::Kind::model;
}

Case case_of(const Facts& facts, const MailSettings& settings, const Knowledge& knowledge)
{
    const Category category = classify(facts);
    const DocumentKind* kind = category == Category::mass       ? find(settings.rows, facts.row)
                               : category == Category::dispatch ? find(settings.models, facts.model)
                                                                : nullptr;
    return {facts, settings, knowledge, category, posting_user(facts, settings), kind};
}

std::string row_name(const Case& c, int number)
{
    const std::string text = std::to_string(number);
    switch (c.category) {
    case Category::mass:
        return "M" + text;
    case Category::dispatch:
        return "D" + text;
    case Category::mobile:
        return "B" + text;
    case Category::standard:
        break;
    }
    return (c.facts.row ? "M1/S" : c.facts.model ? "D1/S" : "S") + text;
}

int number_for(const Case& c, Numbers numbers)
{
    return c.is_linked() ? numbers.linked : c.category == Category::mobile ? numbers.mobile : numbers.standard;
}

Decision held(const Case& c, int row, HoldReason reason, std::vector<Subject> subjects)
{
    return {row_name(c, row), Hold{reason, std::move(subjects)}};
}

Subject missing_user(const Case& c)
{
    Subject subject{Subject::Kind::user, c.facts.user.value_or(0), std::string(trimmed(c.facts.user_code)), {}};
    if (c.user)
        return subject_of(*c.user, "disabled");
    subject.field = c.facts.user ? "deleted" : subject.code.empty() ? "none named" : "unknown";
    return subject;
}

Deciding deciding_mode(const Case& c)
{
    const General& general = c.settings.general;
    if (c.category == Category::standard)
        return c.user->mode ? Deciding{*c.user->mode, subject_of(*c.user, label::mode)}
                            : Deciding{general.default_user_mode, subject_of_general(label::default_mode)};
    if (c.is_linked() && c.kind->mode != LinkMode::general)
        return {c.kind->mode == LinkMode::outlook ? Mode::outlook : Mode::not_configured,
                subject_of(*c.kind, linked_kind(c), label::mode)};
    // The shared account has no desktop: a mode that it cannot have is none.
    const bool serves = general.mode == Mode::smtp || general.mode == Mode::office365;
    return {serves ? general.mode : Mode::not_configured, subject_of_general(label::mode)};
}

} // namespace mailroom::rules
