#include "service/doctor/servers.hpp"

#include "config/text.hpp"

#include "service/rules/sender.hpp"
#include "transport/smtp/connection.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace mailroom::doctor {
namespace {

namespace asio = boost::asio;

bool is_wanted(const std::string& name, const std::vector<std::string>& only)
{
    const std::string code = name.starts_with("user ") ? name.substr(5) : name;
    return only.empty() || std::ranges::find(only, code) != only.end();
}

// A message by this User, or of MOBILE by the shared account.
rules::Facts posted(std::optional<std::int32_t> user, rules::Source source)
{
    rules::Facts facts;
    facts.source = source;
    facts.user = user;
    return facts;
}

rules::Hold refusal_of(const Account& account, const Owner& owner)
{
    const auto kind = owner.kind == Owner::Kind::general ? rules::Subject::Kind::general : rules::Subject::Kind::user;
    const std::string code = owner.kind == Owner::Kind::general ? "" : account.name.substr(5);
    return {rules::HoldReason::auth_failed, {{kind, owner.id, code, {}}}};
}

// The login as a message would use it; without credentials where they are not to be tried, which not_tried says.
Account account_of(const rules::Sender& sender, std::string name, const Snapshot& snapshot, const queue::Keyring* keys)
{
    Account account{std::move(name), {}, {}, {}};
    account.login.server = {std::string(trimmed(sender.server->host)), sender.server->port,
                            rules::security_of(*sender.server)};
    account.if_refused = rules::remedy(refusal_of(account, sender.owner));
    if (!sender.server->login)
        return account; // a relay
    if (snapshot.knowledge.refused_logins.contains(sender.owner))
        account.not_tried = "its login is paused";
    else if (sender.account.empty() || sender.password == nullptr)
        account.not_tried = "its settings are not complete";
    else if (account.login.server.security == Security::none && !sender.server->allow_cleartext)
        account.not_tried = "its password would travel unencrypted";
    else if (keys == nullptr)
        account.not_tried = "there is no key to open its password with";
    if (!account.not_tried.empty())
        return account;
    auto password = keys->open(*sender.password, queue::password_place(sender.owner));
    if (!password) {
        account.not_tried = "its password cannot be opened";
        return account;
    }
    account.login.fingerprint =
        keys->fingerprint(*sender.password, account.login.server.host, sender.account, *password);
    account.login.credentials = smtp::Credentials{sender.account, *std::move(password)};
    return account;
}

void add(Accounts& result, const rules::Sender& sender, const std::string& name, const rules::Facts& facts,
         const Snapshot& snapshot, const queue::Keyring* keys)
{
    const rules::Decision decision = rules::resolve_sender(facts, snapshot.settings, {});
    if (const rules::Hold* const hold = decision.hold())
        result.findings.push_back(warning("accounts", name, describe(*hold), rules::remedy(*hold)));
    if (!rules::is_blank(sender.server->host))
        result.accounts.push_back(account_of(sender, name, snapshot, keys));
}

// ---- The visit

using ByServer = std::map<std::string, std::vector<const Account*>>;
using ByHost = std::map<std::string, ByServer>;

smtp::Timeouts short_timeouts()
{
    smtp::Timeouts timeouts;
    for (auto* limit :
         {&timeouts.resolve, &timeouts.connect, &timeouts.tls, &timeouts.greeting, &timeouts.ehlo, &timeouts.auth})
        *limit = std::chrono::seconds(15);
    return timeouts;
}

bool is_refusal(const Outcome& outcome)
{
    return outcome.cause == Cause::login_refused || outcome.cause == Cause::basic_login_ended;
}

// What a host made of logins. It counts failures of all its ports together, and locks accounts for a few of them.
struct Tried {
    struct Answer {
        Finding finding;
        bool refused = false;
    };
    std::map<std::vector<std::uint8_t>, Answer> answers; // by fingerprint
    std::size_t count = 0;
};

Tried::Answer answer_of(const Account& account, const std::string& server, const std::optional<Outcome>& outcome,
                        const Visitor& visitor)
{
    const std::string& name = account.name;
    if (!outcome)
        return {fine("logins", name, server + " takes it")};
    if (is_refusal(*outcome)) {
        const std::string consequence = visitor.refused(account, *outcome);
        std::string text = fmt::format("{} refused it: {}; {}", server, words_of(*outcome), consequence);
        return {problem("logins", name, std::move(text), account.if_refused), true};
    }
    if (outcome->cause == Cause::login_unavailable)
        return {problem("logins", name, fmt::format("{}: {}", server, words_of(*outcome)),
                        "correct port and encryption; if the server asks for no login: login=no")};
    return {warning("logins", name,
                    fmt::format("{} broke off at {}: {}", server, to_string(outcome->stage), words_of(*outcome)),
                    "try again later; a server that does this each time says why in its own log")};
}

// Nothing: the server took it.
asio::awaitable<std::optional<Outcome>> log_in(const Login& login, const smtp::OpenOptions& options)
{
    auto opened = co_await smtp::open(login.server, &*login.credentials, options);
    if (const auto* outcome = std::get_if<Outcome>(&opened))
        co_return *outcome;
    auto connection = std::move(std::get<std::unique_ptr<smtp::Connection>>(opened));
    co_await smtp::close(std::move(connection));
    co_return std::nullopt;
}

// The same password of the same account is tried once, whoever else has it and at whichever port.
asio::awaitable<Finding> try_login(const Account& account, const std::string& server, Tried& tried,
                                   const Visitor& visitor, const smtp::OpenOptions& options)
{
    const auto known = tried.answers.find(account.login.fingerprint);
    if (known != tried.answers.end()) {
        Finding finding = known->second.finding;
        finding.subject = account.name;
        if (known->second.refused)
            finding.remedy = account.if_refused;
        co_return finding;
    }
    if (++tried.count > visitor.most_logins)
        co_return not_checked("logins", account.name, "others were tried: name it with --account");
    const std::optional<Outcome> outcome = co_await log_in(account.login, options);
    Tried::Answer answer = answer_of(account, server, outcome, visitor);
    Finding finding = answer.finding;
    if (!outcome || outcome->cause != Cause::login_unavailable) // another port may offer it
        tried.answers.emplace(account.login.fingerprint, std::move(answer));
    co_return finding;
}

Findings all_not_checked(const std::vector<const Account*>& accounts, std::string_view because)
{
    Findings findings;
    for (const Account* account : accounts)
        findings.push_back(not_checked("logins", account->name, because));
    return findings;
}

asio::awaitable<Findings> visit_server(const std::vector<const Account*>& accounts, Tried& tried,
                                       const Visitor& visitor)
{
    const smtp::Server& server = accounts.front()->login.server;
    const std::string name = smtp::to_string(server);
    const auto cleartext = server.security == Security::none ? smtp::Cleartext::allowed : smtp::Cleartext::forbidden;
    const smtp::OpenOptions options{visitor.authorities, visitor.client_name, short_timeouts(), cleartext,
                                    smtp::Pipelining::never};
    auto opened = co_await smtp::open(server, nullptr, options);
    if (const auto* outcome = std::get_if<Outcome>(&opened)) {
        Findings findings = all_not_checked(accounts, name + " cannot be used");
        findings.insert(findings.begin(), about_unreachable(name, *outcome));
        co_return findings;
    }
    auto connection = std::move(std::get<std::unique_ptr<smtp::Connection>>(opened));
    const auto end = connection->certificate_end();
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    Findings findings{end ? about_certificate(name, *end, now)
                          : fine("servers", name, "it answers; without encryption")};
    co_await smtp::close(std::move(connection));
    for (const Account* account : accounts) {
        if (!account->not_tried.empty()) {
            findings.push_back(not_checked("logins", account->name, account->not_tried));
        } else if (!account->login.credentials) {
            findings.push_back(fine("logins", account->name, name + " asks for none"));
        } else {
            Finding finding = co_await try_login(*account, name, tried, visitor, options);
            findings.push_back(std::move(finding));
        }
    }
    co_return findings;
}

asio::awaitable<void> visit_all(const ByHost& hosts, ByHost::const_iterator& next, const Visitor& visitor)
{
    while (next != hosts.end()) {
        const ByServer& servers = (next++)->second;
        Tried tried;
        for (const auto& [key, accounts] : servers) {
            Findings findings = co_await visit_server(accounts, tried, visitor);
            visitor.tell(std::move(findings));
        }
    }
}

} // namespace

std::string words_of(const Outcome& outcome)
{
    if (outcome.code == 0)
        return outcome.text;
    return fmt::format("{} {}{}{}", outcome.code, outcome.enhanced, outcome.enhanced.empty() ? "" : " ", outcome.text);
}

Accounts smtp_accounts(const Snapshot& snapshot, const queue::Keyring* keys, const std::vector<std::string>& only)
{
    Accounts result;
    const General& general = snapshot.settings.general;
    if (general.mode == Mode::smtp && is_wanted("general", only))
        add(result, rules::sender_for_mobile(general), "general", posted({}, rules::Source::mobile), snapshot, keys);
    for (const auto& [id, user] : snapshot.settings.users) {
        const std::string name = "user " + user.code;
        if (user.enabled && user.mode.value_or(general.default_user_mode) == Mode::smtp && is_wanted(name, only))
            add(result, rules::sender_of(user, Mode::smtp, general), name, posted(id, rules::Source::erp), snapshot,
                keys);
    }
    for (const auto& wanted : only) {
        const auto is_it = [&](const std::string& name) { return is_wanted(name, {wanted}); };
        if (std::ranges::none_of(result.accounts, is_it, &Account::name) &&
            std::ranges::none_of(result.findings, is_it, &Finding::subject))
            result.findings.push_back(problem("accounts", wanted, "no such account sends by SMTP",
                                              "`mailroom account list` shows them: general, or a user's code"));
    }
    return result;
}

Finding about_certificate(const std::string& server, std::chrono::sys_seconds end, std::chrono::sys_seconds now)
{
    const auto days = std::chrono::floor<std::chrono::days>(end - now).count();
    std::string text =
        fmt::format("it answers; its certificate is in force for {} more day{}", days, days == 1 ? "" : "s");
    if (days < 14)
        return warning("servers", server, std::move(text),
                       "its administrator must renew the certificate: when it has expired, nothing goes there");
    return fine("servers", server, std::move(text));
}

Finding about_unreachable(const std::string& server, const Outcome& outcome)
{
    const auto remedy = [&]() -> std::string {
        switch (outcome.cause) {
        case Cause::name_not_found:
            return "correct the server's name (mailroom account set ... server=...), or this machine's DNS";
        case Cause::connection_refused:
            return "correct server and port (mailroom account set ... port=...), or let this machine through the "
                   "firewall";
        case Cause::timed_out:
            return "correct server and port (mailroom account set ... port=...), or let this machine through the "
                   "firewall; "
                   "port 465 speaks TLS from the first byte, and others STARTTLS";
        case Cause::certificate:
            return "the server needs a certificate for this name that is in force and signed by an authority that this "
                   "machine knows ([tls] ca_file names others)";
        case Cause::tls_failed:
            return "correct port and encryption (mailroom account set ... port=... use_ssl=...): port 465 speaks TLS "
                   "from "
                   "the first byte, others STARTTLS";
        default:
            return "look at what the server says; its own log may say more";
        }
    }();
    return problem("servers", server, fmt::format("at {}: {}", to_string(outcome.stage), words_of(outcome)), remedy);
}

void visit_servers(const std::vector<Account>& accounts, const Visitor& visitor)
{
    ByHost hosts;
    for (const Account& account : accounts) {
        const smtp::Server& server = account.login.server;
        const auto key = fmt::format("{} {}", smtp::to_string(server), static_cast<int>(server.security));
        hosts[ascii_lower(server.host)][key].push_back(&account);
    }
    asio::io_context io(1);
    auto next = hosts.cbegin();
    std::exception_ptr broken;
    for (int i = 0; i < 2; ++i)
        asio::co_spawn(io, visit_all(hosts, next, visitor), [&broken](std::exception_ptr error) {
            if (error)
                broken = std::move(error);
        });
    io.run();
    if (broken)
        std::rethrow_exception(broken);
}

} // namespace mailroom::doctor
