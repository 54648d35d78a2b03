// The keys that secrets are sealed with, and their replacement while the daemons run (docs/security.md).
#include "queue/keyring.hpp"
#include "queue/settings_store.hpp"
#include "service/commands/commands.hpp"
#include "service/host/key_source.hpp"
#include "service/snapshot.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mailroom::commands {
namespace {

namespace json = boost::json;

constexpr std::size_t secrets_per_call = 100; // ours

// The key file and what it holds.
struct Keys {
    std::string path;
    queue::Keyring ring;
};

Result<Keys> open_keys(const Options& options, const std::string& named)
{
    std::string path = named;
    if (path.empty()) {
        const auto file = settings(options);
        if (!file)
            return file.error();
        path = host::key_path(*file);
    }
    if (path.empty())
        return Error{"nothing names a key file: make one with `mailroom config new-key FILE` and name it in [secrets] "
                     "key_file"};
    auto ring = queue::Keyring::load(path);
    if (!ring)
        return ring.error();
    return Keys{std::move(path), *std::move(ring)};
}

// Acts on the file and on what the database knows of keys.
int with_known_keys(const Options& options, const std::string& path,
                    const std::function<int(Keys& keys, const json::value& known)>& act)
{
    auto keys = open_keys(options, path);
    if (!keys)
        return complain(options, keys.error().text);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto known = query_json(*connection, "keys");
    if (!known)
        return complain(options, "reading which keys are used: " + known.error().text);
    return act(*keys, *known);
}

std::int64_t sealed_with(const json::value& known, std::string_view id)
{
    return number_at(known.at("secrets"), id);
}

bool has(const json::value& dispatcher, std::string_view id)
{
    return std::ranges::any_of(dispatcher.at("key_ids").as_array(),
                               [&](const json::value& one) { return one.as_string() == id; });
}

std::int64_t dispatchers_with(const json::value& known, std::string_view id)
{
    return std::ranges::count_if(known.at("dispatchers").as_array(), [&](const auto& one) { return has(one, id); });
}

// Of the file, and whatever else the database or a dispatcher names.
std::set<std::string> ids_of(const Keys& keys, const json::value& known)
{
    std::set<std::string> ids;
    for (const auto& id : keys.ring.ids())
        ids.insert(id);
    if (const std::string seals = text_at(known, "seals"); !seals.empty())
        ids.insert(seals);
    for (const auto& [id, count] : known.at("secrets").as_object())
        ids.emplace(id);
    for (const auto& dispatcher : known.at("dispatchers").as_array())
        for (const auto& id : dispatcher.at("key_ids").as_array())
            ids.emplace(id.as_string());
    return ids;
}

void print_as_json(const Keys& keys, const json::value& known)
{
    json::array list;
    for (const auto& id : ids_of(keys, known))
        list.push_back({{"id", id},
                        {"in_file", keys.ring.find(id) != nullptr},
                        {"seals", id == text_at(known, "seals")},
                        {"secrets", sealed_with(known, id)},
                        {"dispatchers", dispatchers_with(known, id)}});
    print_json({{"file", keys.path}, {"keys", std::move(list)}, {"dispatchers", known.at("dispatchers")}});
}

void print_as_table(const Keys& keys, const json::value& known)
{
    const auto alive = known.at("dispatchers").as_array().size();
    fmt::print("{:<18} {:>7} {:>11}\n", "KEY", "SECRETS", "DISPATCHERS");
    for (const auto& id : ids_of(keys, known)) {
        std::vector<std::string> remarks;
        if (id == text_at(known, "seals"))
            remarks.emplace_back("seals what is new");
        if (keys.ring.find(id) == nullptr)
            remarks.push_back("not in " + keys.path);
        fmt::print("{:<18} {:>7} {:>11}  {}\n", id, sealed_with(known, id),
                   fmt::format("{} of {}", dispatchers_with(known, id), alive), fmt::join(remarks, ", "));
    }
}

// ---- sealing anew

std::string hexadecimal(const std::vector<std::uint8_t>& octets)
{
    return fmt::format("{:02x}", fmt::join(octets, ""));
}

struct StoredSecret {
    Owner owner;
    std::string name; // general, user ANNA
    bool is_password; // otherwise the token of a sign-in
    const SealedSecret* sealed;
};

std::vector<StoredSecret> secrets_of(const MailSettings& settings)
{
    std::vector<StoredSecret> secrets;
    const auto add = [&](Owner owner, const std::string& name, const auto& account) {
        if (account.password)
            secrets.push_back({owner, name, true, &*account.password});
        if (account.token)
            secrets.push_back({owner, name, false, &*account.token});
    };
    add(Owner::general(), "general", settings.general);
    for (const auto& [id, user] : settings.users)
        add(Owner::user(id), "user " + user.code, user);
    return secrets;
}

// One for mailroom.reseal; the login's fingerprints as far as the secret is a login's.
Result<json::object> sealed_anew(const StoredSecret& secret, const MailSettings& settings, const queue::Keyring& ring,
                                 const queue::SealingKey& key)
{
    const std::string place =
        secret.is_password ? queue::password_place(secret.owner) : queue::token_place(secret.owner);
    const auto opened = ring.open(*secret.sealed, place);
    if (!opened)
        return opened.error();
    json::object object{{"column", secret.is_password ? "password" : "token"},
                        {"old", hexadecimal(*secret.sealed)},
                        {"new", hexadecimal(key.seal(*opened, place))}};
    if (secret.owner.kind == Owner::Kind::user)
        object["user"] = secret.owner.id;
    if (const auto login = secret.is_password ? login_of(secret.owner, settings, ring) : std::nullopt) {
        object["old_login"] = hexadecimal(login->fingerprint);
        object["new_login"] = hexadecimal(key.fingerprint(login->host, login->account, *opened));
    }
    return object;
}

struct Unopened {
    std::string name;
    bool is_password;
    std::string why;
};

struct Rotated {
    std::int64_t sealed = 0;
    std::vector<Unopened> unopened;
};

// One pass over all that is sealed otherwise.
Result<Rotated> seal_all_with(pg::Connection& connection, const queue::Keyring& ring, const queue::SealingKey& key)
{
    const auto stored = queue::load_settings(connection);
    if (!stored)
        return explained("reading the mail settings", stored.error());
    Rotated rotated;
    json::array batch;
    const auto put = [&]() -> Result<void> {
        const auto done =
            connection.run({"", "SELECT mailroom.reseal($1::jsonb)"}, pg::Params().text(json::serialize(batch)));
        if (!done)
            return explained("sealing with another key", done.error());
        rotated.sealed += done->number(0, 0);
        batch.clear();
        return {};
    };
    for (const auto& secret : secrets_of(stored->settings)) {
        if (queue::key_of(*secret.sealed) == key.id())
            continue;
        auto anew = sealed_anew(secret, stored->settings, ring, key);
        if (!anew) {
            rotated.unopened.push_back({secret.name, secret.is_password, anew.error().text});
            continue;
        }
        batch.emplace_back(*std::move(anew));
        if (batch.size() == secrets_per_call)
            if (const auto done = put(); !done)
                return done.error();
    }
    if (!batch.empty())
        if (const auto done = put(); !done)
            return done.error();
    return rotated;
}

// Until nothing is left, also of what others stored meanwhile.
Result<Rotated> rotate(pg::Connection& connection, const queue::Keyring& ring, const queue::SealingKey& key)
{
    constexpr int most_passes = 5; // ours
    Rotated all;
    for (int pass = 0; pass < most_passes; ++pass) {
        auto rotated = seal_all_with(connection, ring, key);
        if (!rotated)
            return rotated.error();
        all.sealed += rotated->sealed;
        all.unopened = std::move(rotated->unopened);
        if (rotated->sealed == 0)
            break;
    }
    return all;
}

} // namespace

int key_list(const Options& options, const std::string& path)
{
    return with_known_keys(options, path, [&](const Keys& keys, const json::value& known) {
        options.output == Output::json ? print_as_json(keys, known) : print_as_table(keys, known);
        return Exit::ok;
    });
}

int key_add(const Options& options, const std::string& path)
{
    auto keys = open_keys(options, path);
    if (!keys)
        return complain(options, keys.error().text);
    if (const auto added = keys->ring.add_key(keys->path); !added)
        return complain(options, added.error().text);
    const std::string id = keys->ring.newest().id();
    if (options.output == Output::json)
        print_json({{"file", keys->path}, {"key_id", id}});
    else
        fmt::print(
            "added the key {} to {}; nothing is sealed with it yet. Copy the file to every machine and to a safe "
            "place, restart each daemon, then `mailroom key rotate`\n",
            id, keys->path);
    return Exit::ok;
}

int key_rotate(const Options& options, const std::string& path, const std::string& id)
{
    const auto keys = open_keys(options, path);
    if (!keys)
        return complain(options, keys.error().text);
    const queue::SealingKey* const key = id.empty() ? &keys->ring.newest() : keys->ring.find(id);
    if (key == nullptr)
        return complain(
            options, fmt::format("{} holds no key {}: `mailroom key list` shows those that it holds", keys->path, id),
            Exit::usage);
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto sealing = connection->run({"", "SELECT mailroom.seal_with($1)"}, pg::Params().text(key->id()));
    if (!sealing)
        return complain(options, explained("replacing the key", sealing.error()).text);
    const auto rotated = rotate(*connection, keys->ring, *key);
    if (!rotated)
        return complain(options, rotated.error().text + "; the rest stays sealed as it was: run this again");
    if (options.output == Output::json) {
        json::array unopened;
        for (const auto& one : rotated->unopened)
            unopened.push_back(
                {{"owner", one.name}, {"secret", one.is_password ? "password" : "token"}, {"why", one.why}});
        print_json({{"key_id", key->id()}, {"sealed", rotated->sealed}, {"unopened", unopened}});
    } else {
        fmt::print("sealed {} with the key {}\n", count_of(rotated->sealed, "secret"), key->id());
    }
    for (const auto& one : rotated->unopened)
        fmt::print(stderr, "mailroom: {}: {}; it stays as it is: {}\n", one.name, one.why,
                   one.is_password ? fmt::format("enter it again (mailroom account password {})", one.name)
                                   : "sign in again");
    if (!rotated->unopened.empty())
        return Exit::failed;
    if (options.output == Output::text && keys->ring.ids().size() > 1)
        fmt::print(
            "Keys that seal nothing any more (`mailroom key list`) can be dropped: `mailroom key drop KEY`; keep "
            "them with the backups from before today\n");
    return Exit::ok;
}

int key_drop(const Options& options, const std::string& path, const std::string& id)
{
    return with_known_keys(options, path, [&](Keys& keys, const json::value& known) -> int {
        if (const auto sealed = sealed_with(known, id); sealed > 0)
            return complain(options, fmt::format("{} still {} sealed with the key {}: first `mailroom key rotate`",
                                                 count_of(sealed, "secret"), sealed == 1 ? "is" : "are", id));
        if (text_at(known, "seals") == id)
            return complain(options,
                            fmt::format("what is new is sealed with the key {}: first `mailroom key rotate`", id));
        if (const auto dropped = keys.ring.drop_key(keys.path, id); !dropped)
            return complain(options, dropped.error().text);
        if (options.output == Output::json)
            print_json({{"file", keys.path}, {"dropped", id}});
        else
            fmt::print("dropped the key {} from {}; do the same on every machine. Older backups need it still\n", id,
                       keys.path);
        return Exit::ok;
    });
}

} // namespace mailroom::commands
