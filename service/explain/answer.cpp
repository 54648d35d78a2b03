#include "service/explain/answer.hpp"

#include "service/rules/labels.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace mailroom::explain {
namespace {

namespace json = boost::json;

// The setting behind a label of a screen; empty: the field says something else.
std::string_view setting_of(std::string_view field)
{
    namespace label = rules::label;
    constexpr std::array<std::pair<std::string_view, std::string_view>, 11> settings{{
        {label::default_mode, "default_user_mode"},
        {label::mode, "mode"},
        {label::login, "account"},
        {label::mailbox, "account"},
        {label::from, "from"},
        {label::server, "server"},
        {label::use_ssl, "use_ssl"},
        {label::users_use_ssl, "user_use_ssl"},
        {label::password, "password"},
        {label::row_from, "from"},
        {label::model_from, "from"},
    }};
    const auto* found = std::ranges::find(settings, field, &std::pair<std::string_view, std::string_view>::first);
    return found == settings.end() ? std::string_view() : found->second;
}

json::value text_or_null(std::string_view text)
{
    return text.empty() ? json::value(nullptr) : json::value(json::string_view(text.data(), text.size()));
}

std::string_view kind_name(rules::Subject::Kind kind)
{
    switch (kind) {
    case rules::Subject::Kind::general:
        return "general";
    case rules::Subject::Kind::user:
        return "user";
    case rules::Subject::Kind::row:
        return "row";
    case rules::Subject::Kind::model:
        return "model";
    case rules::Subject::Kind::message:
        break;
    }
    return "message";
}

json::object hold_json(const rules::Hold& hold)
{
    json::array subjects;
    for (const rules::Subject& subject : hold.subjects)
        subjects.push_back({{"kind", text_or_null(kind_name(subject.kind))},
                            {"code", text_or_null(subject.code)},
                            {"field", text_or_null(subject.field)},
                            {"setting", text_or_null(setting_of(subject.field))}});
    return {{"reason", text_or_null(to_string(hold.reason))},
            {"subjects", std::move(subjects)},
            {"text", describe(hold)},
            {"remedy", remedy(hold)}};
}

json::array steps_json(const rules::Trace& trace)
{
    json::array steps;
    for (const rules::TraceStep& step : trace.steps) {
        json::array settings;
        for (const rules::Looked& looked : step.settings)
            settings.push_back(
                {{"setting", looked.setting}, {"value", text_or_null(looked.value)}, {"origin", looked.origin}});
        steps.push_back({{"step", step.number},
                         {"question", step.question},
                         {"settings", std::move(settings)},
                         {"result", step.result}});
    }
    return steps;
}

std::string_view tls_of(Security security)
{
    return security == Security::none ? "none" : security == Security::starttls ? "starttls" : "implicit";
}

void add_identity(json::object& object, const rules::Identity& identity)
{
    object["account"] = text_or_null(identity.account);
    object["from"] = to_string(identity.from);
    if (identity.mode != Mode::smtp)
        return;
    if (identity.sender)
        object["sender"] = identity.sender->written();
    object["envelope_sender"] = identity.envelope_sender.written();
    object["server"] = {{"host", identity.host}, {"port", identity.port.number()}};
    object["tls"] = text_or_null(tls_of(identity.security));
}

// The account that a desktop sends by is the desktop's own; a Row's or Model's is that of its From.
void add_handover(json::object& object, const rules::Handover& handover)
{
    object["desktop"] = handover.user_code;
    if (!handover.from)
        return;
    object["account"] = handover.from->address.written();
    object["from"] = to_string(*handover.from);
}

} // namespace

Explained explain(const rules::Facts& facts, const MailSettings& settings, const rules::Knowledge& knowledge)
{
    rules::Trace trace;
    rules::Decision decision = resolve_sender(facts, settings, knowledge, &trace);
    return {facts, std::move(decision), std::move(trace)};
}

json::object to_json(const Explained& explained)
{
    const auto mode = explained.trace.mode;
    json::object object{{"category", text_or_null(to_string(classify(explained.facts)))},
                        {"table_row", explained.decision.table_row},
                        {"outcome", "hold"},
                        {"mode", mode ? text_or_null(to_string(*mode)) : json::value(nullptr)}};
    for (const char* key : {"account", "from", "sender", "envelope_sender", "server", "tls", "desktop", "hold"})
        object[key] = nullptr;
    if (const auto* hold = explained.decision.hold()) {
        object["hold"] = hold_json(*hold);
    } else if (const auto* identity = explained.decision.identity()) {
        object["outcome"] = "send";
        add_identity(object, *identity);
    } else {
        object["outcome"] = "desktop";
        add_handover(object, *explained.decision.handover());
    }
    object["steps"] = steps_json(explained.trace);
    return object;
}

std::string to_text(const json::object& explained)
{
    const auto words = [](const json::value& value) {
        return value.is_null() ? std::string_view("(none)") : std::string_view(value.as_string());
    };
    std::string text;
    for (const json::value& step : explained.at("steps").as_array()) {
        text += fmt::format("{:>2}. {}\n", step.at("step").as_int64(), words(step.at("question")));
        for (const json::value& looked : step.at("settings").as_array()) {
            const std::string_view origin = words(looked.at("origin"));
            text += fmt::format("      {} = {}{}\n", words(looked.at("setting")), words(looked.at("value")),
                                origin == "none" ? "" : fmt::format(" ({})", origin));
        }
        text += fmt::format("      -> {}\n", words(step.at("result")));
    }
    if (const json::value& hold = explained.at("hold"); !hold.is_null())
        text += fmt::format("what to do: {}\n", words(hold.at("remedy")));
    return text;
}

} // namespace mailroom::explain
