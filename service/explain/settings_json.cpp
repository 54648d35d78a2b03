#include "service/explain/settings_json.hpp"

#include "config/text.hpp"

#include "service/explain/fields.hpp"

#include <fmt/format.h>

#include <utility>

namespace mailroom::explain {
namespace {

SmtpServer server_of(Fields& fields, const std::string& prefix)
{
    SmtpServer server;
    server.host = fields.text(prefix + "server");
    const auto number = fields.number(prefix + "port");
    const auto port = Port::make(static_cast<int>(number && *number > 0 && *number < 65536 ? *number : 0));
    if (port)
        server.port = *port;
    else if (number)
        fields.problem(prefix + "port", "is not a port (1 to 65535)");
    server.use_ssl = fields.truth(prefix + "use_ssl").value_or(true);
    server.login = fields.truth(prefix + "login").value_or(true);
    server.allow_cleartext = fields.truth(prefix + "allow_cleartext").value_or(false);
    return server;
}

std::optional<SealedSecret> secret_of(Fields& fields, std::string_view name)
{
    return fields.truth(name).value_or(false) ? std::optional(SealedSecret{1}) : std::nullopt;
}

// none: absent
std::optional<Mode> mode_of(Fields& fields, std::string_view name)
{
    if (!fields.has(name))
        return {};
    const std::string text(trimmed(fields.text(name)));
    const auto mode = mode_from(text);
    if (!mode)
        fields.problem(name, "\"" + text + "\" is not a mode");
    return mode;
}

General general_of(Fields fields)
{
    fields.allow_only({"edition", "default_user_mode", "mode", "account", "from", "server", "port", "use_ssl", "login",
                       "allow_cleartext", "user_server", "user_port", "user_use_ssl", "user_login",
                       "user_allow_cleartext", "send_as", "has_password", "has_token"});
    General general;
    if (fields.has("edition")) {
        const auto edition = edition_from(trimmed(fields.text("edition")));
        if (!edition)
            fields.problem("edition", "must be on_premise or cloud");
        general.edition = edition.value_or(Edition::on_premise);
    }
    const auto for_users = mode_of(fields, "default_user_mode");
    general.default_user_mode =
        for_users.value_or(general.edition == Edition::cloud ? Mode::not_configured : Mode::outlook);
    // The first time that the default is saved as smtp while this was never saved, smtp is stored here.
    general.mode = mode_of(fields, "mode").value_or(for_users == Mode::smtp ? Mode::smtp : Mode::not_configured);
    if (general.mode == Mode::outlook || general.mode == Mode::other_client)
        fields.problem("mode", "the shared account has no desktop: not_configured, smtp or office365");
    general.account = fields.text("account");
    general.from = fields.text("from");
    general.server = server_of(fields, "");
    general.user_server = server_of(fields, "user_");
    general.send_as = fields.truth("send_as").value_or(false);
    general.password = secret_of(fields, "has_password");
    general.token = secret_of(fields, "has_token");
    return general;
}

User user_of(Fields fields, std::int32_t id)
{
    fields.allow_only({"code", "name", "enabled", "email", "mode", "account", "from", "server", "port", "use_ssl",
                       "login", "allow_cleartext", "send_as", "has_password", "has_token"});
    User user;
    user.id = id;
    user.code = trimmed(fields.text("code"));
    user.name = fields.text("name");
    user.enabled = fields.truth("enabled").value_or(true);
    user.email = fields.text("email");
    const bool is_same = !fields.has("mode") || trimmed(fields.text("mode")) == "same_as_general";
    if (!is_same)
        user.mode = mode_of(fields, "mode");
    if (user.mode == Mode::not_configured)
        fields.problem("mode", "a user has no not_configured of its own");
    user.account = fields.text("account");
    user.from = fields.text("from");
    user.server = server_of(fields, "");
    user.send_as = fields.truth("send_as").value_or(false);
    user.password = secret_of(fields, "has_password");
    user.token = secret_of(fields, "has_token");
    return user;
}

DocumentKind kind_of_document(Fields fields, std::int32_t id, Mode general_mode)
{
    fields.allow_only({"code", "kind", "name", "from", "mode"});
    DocumentKind kind;
    kind.id = id;
    kind.code = trimmed(fields.text("code"));
    kind.name = fields.text("name");
    kind.from = fields.text("from");
    const std::string mode(trimmed(fields.text("mode")));
    const bool is_generals = (mode == "smtp" || mode == "office365") && mode == to_string(general_mode);
    const auto link = mode.empty()  ? std::optional(LinkMode::not_configured)
                      : is_generals ? std::optional(LinkMode::general)
                                    : link_mode_from(mode);
    if (!link)
        fields.problem("mode", "\"" + mode + "\" is none of not_configured, outlook, general");
    kind.mode = link.value_or(LinkMode::not_configured);
    return kind;
}

template <class Map, class Read>
void read_all(Fields& all, std::string_view name, Map& target, Problems& problems, Read read)
{
    std::int32_t id = 0;
    for (const auto& value : all.list(name)) {
        ++id;
        const std::string place = std::string(name) + " no. " + std::to_string(id);
        auto element = read(Fields(value, place, problems), id);
        bool is_known = false;
        for (const auto& [other_id, other] : target)
            is_known |= other.code == element.code;
        if (element.code.empty() || is_known)
            problems.push_back(place + ": " +
                               (is_known ? "\"" + element.code + "\" stands there twice" : "has no code"));
        target.emplace(id, std::move(element));
    }
}

} // namespace

Result<MailSettings> settings_from(const boost::json::value& exported)
{
    Problems problems;
    MailSettings settings;
    Fields all(exported, "export", problems);
    all.allow_only({"format", "version", "general", "users", "rows", "models"});
    if (const std::string format = all.text("format"); all.has("format") && format != "mailroom settings 1")
        all.problem("format", fmt::format(R"("{}" is not "mailroom settings 1")", format));
    const boost::json::value nothing = boost::json::object();
    const auto* general = all.member("general");
    settings.general = general_of(Fields(general != nullptr ? *general : nothing, "general", problems));
    const Mode mode = settings.general.mode;
    read_all(all, "users", settings.users, problems,
             [](Fields fields, std::int32_t id) { return user_of(std::move(fields), id); });
    const auto document = [mode](Fields fields, std::int32_t id) {
        return kind_of_document(std::move(fields), id, mode);
    };
    read_all(all, "rows", settings.rows, problems, document);
    read_all(all, "models", settings.models, problems, document);
    for (const auto& [id, user] : settings.users)
        settings.user_ids.emplace(user.code, id);
    if (!problems.empty())
        return all_of(problems);
    return settings;
}

} // namespace mailroom::explain
