#include "service/commands/explain.hpp"

#include "config/text.hpp"

#include "queue/settings_store.hpp"
#include "service/commands/commands.hpp"
#include "service/commands/settings_file.hpp"
#include "service/decisions.hpp"
#include "service/explain/message_line.hpp"
#include "service/explain/settings_json.hpp"
#include "service/explain/status_json.hpp"
#include "service/host/key_source.hpp"
#include "service/outgoing.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <utility>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

// ---- From files

Result<json::value> read_json(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()))
        return Error{fmt::format("{} cannot be read", path)};
    json::error_code error;
    json::value value = json::parse(text.str(), error);
    if (error)
        return Error{fmt::format("{} is not JSON: {}", path, error.message())};
    return value;
}

json::object answer_to(const std::string& line, const MailSettings& settings, const rules::Knowledge& knowledge,
                       std::string& text)
{
    json::error_code error;
    const json::value message = json::parse(line, error);
    auto facts =
        error ? std::variant<rules::Facts, explain::Refused>(explain::Refused{"not JSON: " + error.message(), {}})
              : explain::facts_from(message, settings);
    json::object answer;
    if (const auto* refused = std::get_if<explain::Refused>(&facts)) {
        answer = {{"error", refused->text}, {"codes", json::array(refused->codes.begin(), refused->codes.end())}};
        text = "refused: " + refused->text + "\n";
    } else {
        const auto explained = explain::explain(std::get<rules::Facts>(facts), settings, knowledge);
        answer = explain::to_json(explained);
        text = explain::to_text(answer);
    }
    if (const auto* object = message.if_object(); object != nullptr && object->contains("id"))
        answer["id"] = object->at("id");
    return answer;
}

int explain_files(const Options& options, const Explaining& explaining)
{
    const auto wrong = [&](const std::string& path, const Error& error) {
        return complain(options, fmt::format("{}: {}", path, error.text), Exit::usage);
    };
    const auto exported = read_settings_file({explaining.settings, {}, {}});
    if (!exported)
        return wrong(explaining.settings, exported.error());
    const auto settings = explain::settings_from(exported->settings);
    if (!settings)
        return wrong(explaining.settings, settings.error());
    Result<rules::Knowledge> knowledge = rules::Knowledge{};
    if (!explaining.status.empty()) {
        const auto status = read_json(explaining.status);
        if (!status)
            return complain(options, status.error().text, Exit::usage);
        knowledge = explain::knowledge_from(*status, *settings);
    }
    if (!knowledge)
        return wrong(explaining.status, knowledge.error());
    knowledge->carries = {true, true}; // asked of the settings, not of one process
    std::ifstream file;
    if (explaining.messages != "-")
        file.open(explaining.messages, std::ios::binary);
    std::istream& lines = explaining.messages == "-" ? std::cin : file;
    if (!lines)
        return complain(options, fmt::format("{} cannot be read", explaining.messages), Exit::usage);
    std::string line;
    for (std::int64_t number = 1; std::getline(lines, line); ++number) {
        if (trimmed(line).empty())
            continue;
        std::string text;
        json::object answer = answer_to(line, *settings, *knowledge, text);
        answer["line"] = number;
        if (options.output == Output::json)
            fmt::print("{}\n", json::serialize(answer));
        else
            fmt::print("line {}\n{}", number, text);
    }
    return Exit::ok;
}

// ---- From the database

struct Live {
    std::shared_ptr<const Snapshot> snapshot;
    rules::Knowledge knowledge;
};

// Without the service's key nobody knows who else holds a refused login: then only who met the refusal is named.
void name_refused_owners(Live& live)
{
    live.knowledge.key_missing = false;
    for (const auto& login : live.snapshot->refused_logins) {
        const auto reason =
            login.reason == "basic_login_ended" ? rules::HoldReason::basic_login_ended : rules::HoldReason::auth_failed;
        constexpr std::string_view user = "user ";
        const std::string& owner = login.contact.owner;
        const auto id = live.snapshot->settings.user_ids.find(
            std::string_view(owner).substr(owner.starts_with(user) ? user.size() : 0));
        if (owner == "general")
            live.knowledge.refused_logins.emplace(Owner::general(), reason);
        else if (id != live.snapshot->settings.user_ids.end())
            live.knowledge.refused_logins.emplace(Owner::user(id->second), reason);
    }
}

Result<Live> load_live(const Options& options, pg::Connection& connection)
{
    auto stored = queue::load_settings(connection);
    if (!stored)
        return explained("reading the mail settings", stored.error());
    std::optional<queue::Keyring> keys;
    if (const auto file = settings(options)) {
        if (auto found = host::keyring(*file))
            keys = *std::move(found);
    }
    Live live;
    live.snapshot = make_snapshot(*std::move(stored), keys ? &*keys : nullptr);
    live.knowledge = live.snapshot->knowledge;
    if (!keys)
        name_refused_owners(live);
    return live;
}

// Held by an operator, blocked or not due, it goes no sooner for all that the settings say.
std::string standing_words(const ExplainedMessage& message)
{
    if (message.has_ended())
        return " has ended; once more it would be decided so:";
    const auto part = [&](const char* before, const char* key, const char* behind = "") {
        const std::string text = text_at(message.now, key);
        return text.empty() ? text : before + text + behind;
    };
    const std::string next = short_time(text_at(message.now, "next_attempt"));
    const std::string reason = part(", ", "reason");
    return ": " + text_at(message.now, "state") + reason + (reason.empty() ? reason : part(" (", "subject", ")")) +
           (next.empty() ? next : ", next attempt " + next) + part("; ", "remedy");
}

int print_message(const Options& options, const std::string& uid, const ExplainedMessage& message)
{
    json::object answer = explain::to_json(message.explained);
    if (options.output != Output::json) {
        fmt::print("message {}{}\n{}", uid, standing_words(message), explain::to_text(answer));
        return Exit::ok;
    }
    answer["uid"] = uid;
    answer["ended"] = message.has_ended();
    answer["now"] = message.now;
    print_json(answer);
    return Exit::ok;
}

int explain_one(const Options& options, pg::Connection& connection, const std::string& uid)
{
    const auto found = explain_message(options, connection, uid);
    if (!found)
        return complain(options, found.error().text);
    if (!*found)
        return complain(options, fmt::format("there is no message {} in this database", uid));
    return print_message(options, uid, **found);
}

int explain_supposed(const Options& options, const Live& live, const Explaining& explaining)
{
    json::object message{{"user", explaining.user}, {"mobile", explaining.mobile}};
    if (!explaining.form.empty())
        message["form"] = explaining.form;
    if (!explaining.model.empty())
        message["model"] = explaining.model;
    const auto facts = explain::facts_from(message, live.snapshot->settings);
    if (const auto* refused = std::get_if<explain::Refused>(&facts))
        return complain(options, refused->text);
    const json::object answer =
        explain::to_json(explain::explain(std::get<rules::Facts>(facts), live.snapshot->settings, live.knowledge));
    if (options.output == Output::json)
        print_json(answer);
    else
        fmt::print("{}", explain::to_text(answer));
    return Exit::ok;
}

} // namespace

Result<std::optional<ExplainedMessage>> explain_message(const Options& options, pg::Connection& connection,
                                                        const std::string& uid)
{
    const auto found = query_json(connection, "explain", pg::Params().text(uid));
    if (!found)
        return found.error();
    if (found->is_null())
        return std::optional<ExplainedMessage>();
    const auto live = load_live(options, connection);
    if (!live)
        return live.error();
    const auto id_at = [&](const char* key) -> std::optional<std::int32_t> {
        return found->at(key).is_null() ? std::nullopt
                                        : std::optional(static_cast<std::int32_t>(number_at(*found, key)));
    };
    rules::Facts facts;
    facts.source = found->at("mobile").as_bool() ? rules::Source::mobile : rules::Source::erp;
    facts.user = id_at("user_id");
    facts.user_code = text_at(*found, "user_code");
    facts.row = id_at("row_id");
    facts.model = id_at("model_id");
    facts.addressed = found->at("addressed").as_bool();
    auto explained = decide_sender(facts, text_at(*found, "pinned"), live->snapshot->settings, live->knowledge);
    return std::optional(ExplainedMessage{live->snapshot, std::move(explained), found->at("now")});
}

int explain_sender(const Options& options, const Explaining& explaining)
{
    const bool from_files = !explaining.settings.empty() || !explaining.messages.empty();
    const bool supposed =
        !explaining.user.empty() || !explaining.form.empty() || !explaining.model.empty() || explaining.mobile;
    if (static_cast<int>(from_files) + static_cast<int>(supposed) + static_cast<int>(!explaining.uid.empty()) != 1)
        return complain(options,
                        "explain what? Give the uid of a message, or --user (--form, --model, --mobile), or --settings "
                        "with --messages",
                        Exit::usage);
    if (from_files && (explaining.settings.empty() || explaining.messages.empty()))
        return complain(options, "--settings and --messages go together", Exit::usage);
    if (from_files)
        return explain_files(options, explaining);
    if (!explaining.uid.empty() && !is_uuid(explaining.uid))
        return complain(options,
                        fmt::format("\"{}\" is not the uid of a message, such as 4c839a95-b1f7-4bb6-80e4-5114477a2748",
                                    explaining.uid),
                        Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    if (!supposed)
        return explain_one(options, *connection, explaining.uid);
    const auto live = load_live(options, *connection);
    if (!live)
        return complain(options, live.error().text);
    return explain_supposed(options, *live, explaining);
}

} // namespace mailroom::commands
