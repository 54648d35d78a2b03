#include "service/doctor/queue.hpp"

#include "config/text.hpp"

#include "service/commands/command.hpp"
#include "service/rules/hold.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>

namespace mailroom::doctor {
namespace {

namespace json = boost::json;
using commands::number_at;
using commands::short_time;
using commands::span_of;
using commands::text_at;

std::string place_of(const json::value& dispatcher)
{
    return fmt::format("{} (pid {}, {})", text_at(dispatcher, "host"), text_at(dispatcher, "pid"),
                       text_at(dispatcher, "version"));
}

// ---- Who drains it

Finding nobody_drains(const json::array& dispatchers, std::int64_t due)
{
    const char* const remedy =
        "start one: `systemctl start mailroom`, or `mailroom serve`; if one is running, its log says "
        "why it is not here";
    std::string text = "no dispatcher is alive";
    if (!dispatchers.empty() && !dispatchers.back().at("silent_for").is_null())
        text += fmt::format("; the last one, {}, was heard {} ago", place_of(dispatchers.back()),
                            span_of(number_at(dispatchers.back(), "silent_for")));
    if (due == 0)
        return warning("dispatchers", "", std::move(text), remedy);
    return problem("dispatchers", "", text + fmt::format(", and {} due", count_of(due, "message")), remedy);
}

// They agree; the settings file may have been given another one since they were started.
Finding about_another_key(const std::string& theirs, std::string_view ours)
{
    return warning("dispatchers", "",
                   theirs.empty()
                       ? fmt::format("no dispatcher has a sealing key, and the settings file names one (id {})", ours)
                       : fmt::format("the sealing key of the dispatchers (id {}) is not the one that the settings file "
                                     "names (id {})",
                                     theirs, ours),
                   "if the key was replaced, restart them; otherwise name theirs in [secrets] key_file");
}

Findings about_dispatchers(const json::array& dispatchers, std::int64_t due, std::string_view ours)
{
    Findings findings;
    std::set<std::string> versions;
    std::set<std::string> keys;
    for (const auto& dispatcher : dispatchers) {
        if (!dispatcher.at("alive").as_bool())
            continue;
        findings.push_back(fine("dispatchers", place_of(dispatcher),
                                fmt::format("alive, heard {} ago", span_of(number_at(dispatcher, "silent_for")))));
        versions.insert(text_at(dispatcher, "version"));
        keys.insert(text_at(dispatcher, "keys"));
    }
    if (findings.empty())
        return {nobody_drains(dispatchers, due)};
    if (versions.size() > 1)
        findings.push_back(warning("dispatchers", "", fmt::format("they are of {} versions", versions.size()),
                                   "install the same mailroom on every machine"));
    if (keys.size() > 1)
        findings.push_back(warning("dispatchers", "", "they have not all the same sealing key",
                                   "give each the same key file, and restart those that had another one or none"));
    else if (!ours.empty() && *keys.begin() != ours)
        findings.push_back(about_another_key(*keys.begin(), ours));
    return findings;
}

// ---- What waits

// By lane; ours. Bulk mail waits for hours where a server is limited.
std::int64_t patience(std::string_view lane)
{
    constexpr std::int64_t minutes = 60;
    return lane == "bulk" ? 360 * minutes : 15 * minutes;
}

Finding about_due(const json::array& depth)
{
    std::int64_t messages = 0;
    std::string late;
    std::map<std::string, std::int64_t> oldest;
    for (const auto& line : depth) {
        messages += number_at(line, "messages");
        if (text_at(line, "state") == "ready")
            oldest[text_at(line, "lane")] = number_at(line, "due_for");
    }
    std::string due;
    for (const auto& [lane, seconds] : oldest) {
        due += fmt::format("{}{} for {}", due.empty() ? "; due: " : ", ", lane, span_of(seconds));
        if (seconds > patience(lane))
            late = lane;
    }
    std::string text = fmt::format("{} live{}", count_of(messages, "message"), due);
    if (!late.empty())
        return warning("queue", "", std::move(text),
                       "`mailroom top` shows what goes, and which account is the slow one");
    return fine("queue", "", std::move(text));
}

Findings about_doubt(const json::array& depth)
{
    std::int64_t messages = 0;
    for (const auto& line : depth)
        messages += text_at(line, "state") == "in_doubt" ? number_at(line, "messages") : 0;
    if (messages == 0)
        return {};
    return {warning(
        "queue", "",
        fmt::format("{} in doubt: the server may have taken what it did not answer", count_of(messages, "message")),
        "nothing: each is sent once more at its time (`mailroom list --state in_doubt`); `mailroom cancel` "
        "what the recipient has")};
}

Level level_of_hold(std::string_view reason)
{
    constexpr std::array<std::string_view, 4> grave{"in_doubt", "quarantined", "key_missing", "copied_from"};
    constexpr std::array<std::string_view, 2> wanted{"operator_hold", "batch_held"};
    if (std::ranges::find(grave, reason) != grave.end())
        return Level::problem;
    return std::ranges::find(wanted, reason) != wanted.end() ? Level::ok : Level::warning;
}

Findings about_holds(const json::array& depth)
{
    Findings findings;
    for (const auto& line : depth) {
        if (text_at(line, "state") != "held")
            continue;
        const std::string reason = text_at(line, "reason");
        const std::string subject = text_at(line, "subject");
        std::string text = fmt::format("{} held, the oldest for {}", count_of(number_at(line, "messages"), "message"),
                                       span_of(number_at(line, "oldest")));
        findings.push_back({"holds", subject.empty() ? reason : fmt::format("{} ({})", reason, subject),
                            level_of_hold(reason), std::move(text), text_at(line, "remedy")});
    }
    if (findings.empty())
        findings.push_back(fine("holds", "", "nothing is held"));
    return findings;
}

// ---- Accounts

// As queue/settings_store keeps it: general, or user CODE.
rules::Subject subject_of(const std::string& owner)
{
    constexpr std::string_view user = "user ";
    if (!owner.starts_with(user))
        return {};
    return {rules::Subject::Kind::user, 0, owner.substr(user.size()), {}};
}

Findings about_accounts(const json::value& facts)
{
    Findings findings;
    for (const auto& login : facts.at("paused_logins").as_array()) {
        const auto reason = text_at(login, "reason") == "basic_login_ended" ? rules::HoldReason::basic_login_ended
                                                                            : rules::HoldReason::auth_failed;
        const std::string owner = text_at(login, "owner");
        findings.push_back(
            problem("accounts", owner,
                    fmt::format("paused since {}: {} refused the login {}: {}", short_time(text_at(login, "since")),
                                text_at(login, "server"), text_at(login, "account"), text_at(login, "reply")),
                    rules::remedy({reason, {subject_of(owner)}})));
    }
    for (const auto& sender : facts.at("stopped_senders").as_array())
        findings.push_back(
            warning("accounts", text_at(sender, "account"),
                    fmt::format("its server does not let it send as {} since {}: {}", text_at(sender, "from"),
                                short_time(text_at(sender, "since")), text_at(sender, "reply")),
                    "the mail server's administrator must allow it; it is tried again from time to time"));
    for (const auto& route : facts.at("blocked_routes").as_array())
        findings.push_back(warning(
            "accounts", text_at(route, "key"),
            fmt::format("nothing goes by it until {}: {}", short_time(text_at(route, "until")), text_at(route, "why")),
            fmt::format("it goes on by itself; at once: `mailroom retry --route {}`", text_at(route, "key"))));
    if (findings.empty())
        findings.push_back(fine("accounts", "", "none is paused or blocked"));
    return findings;
}

Findings about_generations(const json::value& facts)
{
    Findings findings;
    for (const auto& [ring, empty] : facts.at("empty_generations").as_object()) {
        const std::string_view name(ring.data(), ring.size());
        if (empty.to_number<std::int64_t>() == 0)
            findings.push_back(warning("generations", name, "none is empty: nothing can be cleared away, and it grows",
                                       "end the transactions that keep tables locked; release or cancel what waits for "
                                       "long (`mailroom list --older-than \"7 days\"`)"));
    }
    if (findings.empty())
        findings.push_back(fine("generations", "", "what is past its time can be cleared away"));
    return findings;
}

void append(Findings& findings, Findings more)
{
    std::ranges::move(more, std::back_inserter(findings));
}

std::vector<std::pair<std::string, Owner>> owners_of_passwords(const MailSettings& settings)
{
    std::vector<std::pair<std::string, Owner>> owners;
    if (settings.general.password)
        owners.emplace_back("general", Owner::general());
    for (const auto& [id, user] : settings.users)
        if (user.password)
            owners.emplace_back("user " + user.code, Owner::user(id));
    return owners;
}

} // namespace

Findings about_queue(const json::value& facts, std::string_view ours)
{
    const json::array& depth = facts.at("depth").as_array();
    std::int64_t due = 0;
    for (const auto& line : depth)
        due += text_at(line, "state") == "ready" ? number_at(line, "messages") : 0;
    Findings findings = about_dispatchers(facts.at("dispatchers").as_array(), due, ours);
    findings.push_back(about_due(depth));
    append(findings, about_doubt(depth));
    append(findings, about_holds(depth));
    append(findings, about_accounts(facts));
    append(findings, about_generations(facts));
    return findings;
}

Findings about_pins(const std::vector<queue::Pin>& pins)
{
    Findings findings;
    for (const auto& pin : pins) {
        const auto age = pin.age.value_or(std::chrono::seconds(0));
        const bool long_ago = age >= std::chrono::hours(1) || pin.transactions >= 1'000'000;
        if (!long_ago && age < std::chrono::minutes(1) && pin.transactions < 10'000)
            continue;
        findings.push_back({"vacuum", "", long_ago ? Level::problem : Level::warning,
                            "dead rows of the queue cannot be removed: " + pin.text, pin.remedy});
    }
    if (findings.empty())
        findings.push_back(fine("vacuum", "", "no old transaction keeps dead rows"));
    return findings;
}

Finding about_dead_rows(const queue::DeadRows& rows)
{
    std::string text = fmt::format("{} in the queue", count_of(rows.count, "dead row"));
    if (rows.wants_vacuum)
        return warning("dead_rows", "", text + ": autovacuum does not keep up",
                       rows.may_vacuum
                           ? "a running daemon vacuums it; let autovacuum look more often (autovacuum_naptime)"
                           : fmt::format("let autovacuum look more often (autovacuum_naptime), or GRANT {} "
                                         "TO the service's login",
                                         rows.owner));
    return fine("dead_rows", "", std::move(text));
}

Finding about_secrets(const MailSettings& settings, const queue::Keyring* keys, const json::value& facts)
{
    const auto owners = owners_of_passwords(settings);
    const std::string stored = count_of(static_cast<std::int64_t>(owners.size()), "stored password");
    if (owners.empty())
        return fine("secrets", "", "no password is stored");
    if (keys == nullptr) {
        const auto& dispatchers = facts.at("dispatchers").as_array();
        const bool elsewhere = std::ranges::any_of(
            dispatchers, [](const json::value& d) { return d.at("alive").as_bool() && !d.at("keys").is_null(); });
        if (elsewhere)
            return not_checked("secrets", "", "this command has no key; a running dispatcher has one");
        return problem(
            "secrets", "", fmt::format("{}, and no key to open them: their mail is held (key_missing)", stored),
            "name the key in [secrets] key_file; where it is lost, make a new one and store each password again "
            "(mailroom account password)");
    }
    std::string names;
    std::string first;
    std::size_t wrong = 0;
    for (const auto& [name, owner] : owners) {
        const auto& sealed =
            owner.kind == Owner::Kind::general ? settings.general.password : settings.users.at(owner.id).password;
        const auto opened = keys->open(*sealed, queue::password_place(owner));
        if (opened)
            continue;
        if (++wrong == 1)
            first = opened.error().text;
        if (wrong <= 3)
            names += (names.empty() ? "" : ", ") + name;
    }
    if (wrong == 0)
        return fine("secrets", "", fmt::format("{}: the key opens them", stored));
    if (wrong > 3)
        names += fmt::format(" and {} more", wrong - 3);
    return problem(
        "secrets", names, fmt::format("{} of {} cannot be opened: {}", wrong, stored, first),
        "give the service the key that they were sealed with, or store them again (mailroom account password)");
}

} // namespace mailroom::doctor
