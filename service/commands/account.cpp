#include "config/address.hpp"

#include "queue/keyring.hpp"
#include "queue/settings_store.hpp"
#include "service/commands/commands.hpp"
#include "service/commands/settings_change.hpp"
#include "service/host/key_source.hpp"
#include "service/host/prompt.hpp"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

std::string status_words(const json::value& status)
{
    const std::string state = text_at(status, "state");
    const std::string reason = text_at(status, "reason");
    if (state == "never_tried")
        return "Non-Authenticated: never tried";
    std::string words = state == "authenticated" ? "Authenticated" : "Non-Authenticated: " + state;
    std::ranges::replace(words, '_', ' ');
    return fmt::format("{}{} (checked {})", words, reason.empty() ? reason : ": " + reason,
                       short_time(text_at(status, "checked_at")));
}

void print_account(std::string_view kind, const json::value& account)
{
    fmt::print("{} {}\n", kind, text_at(account, "code"));
    for (const auto& [key, value] : account.as_object()) {
        const bool is_status = key == "status" && !value.is_null();
        const std::string text =
            is_status ? status_words(value) : text_at(account, std::string_view(key.data(), key.size()));
        if (key != "code" && !text.empty())
            fmt::print("  {:<22}{}\n", std::string_view(key.data(), key.size()), text);
    }
}

// The owner of an account, with the settings that give its login.
struct Found {
    Owner owner;
    queue::StoredSettings stored;
};

Result<Found> find_owner(pg::Connection& connection, const Target& target)
{
    auto stored = queue::load_settings(connection);
    if (!stored)
        return explained("reading the mail settings", stored.error());
    if (target.kind == "general")
        return Found{Owner::general(), *std::move(stored)};
    const auto id = stored->settings.user_ids.find(target.code);
    if (id == stored->settings.user_ids.end())
        return Error{fmt::format("there is no user \"{}\": make it with `mailroom account set user {} email=...`",
                                 target.code, target.code)};
    return Found{Owner::user(id->second), *std::move(stored)};
}

// The account that a password is entered for: the one that the settings give now.
std::string account_of(const Found& found)
{
    const MailSettings& settings = found.stored.settings;
    if (found.owner.kind == Owner::Kind::general)
        return settings.general.account;
    const User& user = settings.users.at(found.owner.id);
    if (!trimmed(user.account).empty())
        return user.account;
    if (!trimmed(user.email).empty())
        return user.email;
    return settings.general.edition == Edition::cloud && MailAddress::parse(user.code) ? user.code : std::string();
}

// Of what whoever enters a password has seen: what somebody saves meanwhile is not gone over.
json::object versions_of(const Found& found)
{
    const General& general = found.stored.settings.general;
    if (found.owner.kind == Owner::Kind::general)
        return {{"if_version", general.version}};
    return {{"if_version", found.stored.settings.users.at(found.owner.id).version},
            {"if_general_version", general.version}};
}

std::string name_of(const Target& target)
{
    return target.code.empty() ? target.kind : target.kind + " " + target.code;
}

} // namespace

int account_list(const Options& options)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto accounts = query_json(*connection, "accounts");
    if (!accounts)
        return complain(options, accounts.error().text);
    if (options.output == Output::json) {
        print_json(*accounts);
        return Exit::ok;
    }
    print_account("general", accounts->at("general"));
    for (const auto& [kind, list] :
         {std::pair{"user", "users"}, std::pair{"form", "forms"}, std::pair{"model", "models"}}) {
        for (const auto& account : accounts->at(list).as_array())
            print_account(kind, account);
    }
    for (const auto& login : accounts->at("paused_logins").as_array())
        fmt::print("paused: {} at {} since {}: {} ({})\n", text_at(login, "owner"), text_at(login, "server"),
                   short_time(text_at(login, "since")), text_at(login, "reason"), text_at(login, "reply"));
    return Exit::ok;
}

int account_set(const Options& options, const Target& target, const Saving& saving)
{
    const auto settings = assignments_json(saving.assignments);
    if (!settings)
        return complain(options, settings.error().text, Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    json::object values = *settings;
    if (saving.if_version)
        values["if_version"] = *saving.if_version;
    const bool is_general = target.kind == "general";
    const SettingsChange change{
        "saving " + name_of(target),
        [&](Confirmed confirmed) {
            if (is_general && confirmed == Confirmed::yes)
                values["confirm"] = true;
            pg::Params params;
            params.text(json::serialize(values));
            if (!is_general)
                params.text(target.code);
            return SettingsCall{fmt::format("SELECT jsonb_build_object('advice', mailroom.save_{}({}$1::jsonb))::text",
                                            target.kind == "form" ? "row" : target.kind, is_general ? "" : "$2, "),
                                params};
        },
        [&](const json::value& result) {
            const std::string advice = lines_of(result.at("advice")); // each behind a line end
            if (options.output == Output::json)
                print_json({{"saved", name_of(target)}, {"advice", advice.empty() ? advice : advice.substr(1)}});
            else
                fmt::print("saved {}{}\n", name_of(target), advice);
        }};
    return change_settings(options, *connection, change, saving.consent);
}

int account_password(const Options& options, const Target& target)
{
    const auto file = settings(options);
    if (!file)
        return complain(options, file.error().text, Exit::usage);
    const auto keys = host::keyring(*file);
    if (!keys)
        return complain(options, keys.error().text);
    if (!*keys)
        return complain(options, "there is no key to seal the password with: make one with `mailroom config new-key "
                                 "FILE` and name it in [secrets] key_file");
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto found = find_owner(*connection, target);
    if (!found)
        return complain(options, found.error().text);
    const std::string account = account_of(*found);
    if (trimmed(account).empty())
        return complain(options, fmt::format("{} has no account (User) yet, and a password belongs to one: `mailroom "
                                             "account set {} account=...` first",
                                             name_of(target), name_of(target)));
    auto password =
        host::read_new_password(fmt::format("New password of {} for {}: ", name_of(target), account), "Once more: ");
    if (!password)
        return complain(options, password.error().text, Exit::usage);
    // That which all have. None was chosen yet: a newer one may be on its way to the others. Not here: it is lost.
    const std::string& id = found->stored.key_id;
    const queue::SealingKey* const chosen = id.empty() ? &(*keys)->oldest() : (*keys)->find(id);
    const SealedSecret sealed =
        (chosen != nullptr ? *chosen : (*keys)->newest()).seal(*password, queue::password_place(found->owner));
    pg::Params params;
    if (found->owner.kind == Owner::Kind::general)
        params.null();
    else
        params.number(found->owner.id);
    const auto stored = connection->run({"", "SELECT mailroom.store_password($1::integer, $2, $3::bytea, $4::jsonb)"},
                                        params.text(account).bytes(sealed).text(json::serialize(versions_of(*found))));
    if (!stored)
        return complain(options, settings_error("storing the password", stored.error()).text);
    if (options.output == Output::json)
        print_json({{"stored", name_of(target)}, {"account", account}});
    else
        fmt::print("stored the password of {} for {}; mail that waited for it goes on\n", name_of(target), account);
    return Exit::ok;
}

int account_probe(const Options& options, const Target& target)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto probed = connection->run({"", "SELECT mailroom.probe($1)"}, pg::Params().text_or_null(target.code));
    if (!probed)
        return complain(options, explained("probing " + name_of(target), probed.error()).text);
    const std::string account(probed->text(0, 0));
    if (options.output == Output::json)
        print_json({{"probing", name_of(target)}, {"account", account}});
    else
        fmt::print("{} ({}): what waits is tried again; the first refusal pauses it once more\n", name_of(target),
                   account);
    return Exit::ok;
}

} // namespace mailroom::commands
