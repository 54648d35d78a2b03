#include "config/service_file.hpp"

#include "config/text.hpp"
#include "config/toml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <numeric>
#include <optional>

namespace mailroom {
namespace {

using std::chrono::days;
using std::chrono::milliseconds;

// "500ms", "20s", "15m", "2h", "7d"
std::optional<milliseconds> duration_from(std::string_view text)
{
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || number > 1'000'000'000)
        return std::nullopt;
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    if (unit == "ms")
        return milliseconds(number);
    if (unit == "s")
        return std::chrono::seconds(number);
    if (unit == "m")
        return std::chrono::minutes(number);
    if (unit == "h")
        return std::chrono::hours(number);
    if (unit == "d")
        return std::chrono::days(number);
    return std::nullopt;
}

// "512KiB", "64MiB", "1GiB", "1TiB"; "0" needs no unit
std::optional<std::uint64_t> size_from(std::string_view text)
{
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc())
        return std::nullopt;
    const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    constexpr std::array<std::string_view, 4> units{"KiB", "MiB", "GiB", "TiB"};
    const auto* const found = std::ranges::find(units, unit);
    if (found == units.end())
        return number == 0 && unit.empty() ? std::optional(number) : std::nullopt;
    const auto shift = 10U * static_cast<unsigned>(found - units.begin() + 1);
    return number <= UINT64_MAX >> shift ? std::optional(number << shift) : std::nullopt;
}

std::size_t distance_between(std::string_view a, std::string_view b) // Levenshtein's
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
        }
    }
    return row.back();
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known)
{
    const auto nearest = std::ranges::min_element(
        known, {}, [&](const std::string& candidate) { return distance_between(name, candidate); });
    if (nearest == known.end() || distance_between(name, *nearest) > 3)
        return {};
    return fmt::format("; did you mean {}?", *nearest);
}

bool is_host_name(std::string_view text)
{
    return !text.empty() && text.size() <= 253 &&
           std::ranges::all_of(text,
                               [](char c) {
                                   return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                          c == '.' || c == '-';
                               }) &&
           text.front() != '.' && text.front() != '-';
}

// A key or a value may hold anything, a problem is a line.
std::string one_line(std::string text)
{
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
    return text;
}

// Reads one table key by key and remembers which it knows, so that the rest can be refused.
class Section {
public:
    // within: the table above it; empty: it is in the file itself.
    Section(const toml::table& parent, const std::string& key, const std::string& path, Problems& problems,
            const std::string& within = {})
        : name_(within.empty() ? key : within + "." + key), path_(path), problems_(problems)
    {
        const auto* const node = parent.get(key);
        table_ = node != nullptr ? node->as_table() : nullptr;
        if (node != nullptr && table_ == nullptr)
            complain(*node, "", "must be a table");
    }

    void text(const char* key, std::string& value, bool required = false)
    {
        const auto* const node = find(key);
        if (node == nullptr) {
            if (required)
                problems_.push_back(fmt::format("{}: [{}] {} is missing", path_, name_, key));
        } else if (const auto* const string = node->as_string(); string == nullptr) {
            complain(*node, key, "must be a text in quotes");
        } else if (required && trimmed(string->get()).empty()) {
            complain(*node, key, "must not be empty");
        } else {
            value = string->get();
        }
    }

    void number(const char* key, int& value, int low, int high)
    {
        const auto* const node = find(key);
        if (node == nullptr)
            return;
        const auto* const integer = node->as_integer();
        if (integer == nullptr || integer->get() < low || integer->get() > high)
            complain(*node, key, fmt::format("must be a whole number from {} to {}", low, high));
        else
            value = static_cast<int>(integer->get());
    }

    void truth(const char* key, bool& value)
    {
        const auto* const node = find(key);
        if (node == nullptr)
            return;
        if (const auto* const boolean = node->as_boolean(); boolean != nullptr)
            value = boolean->get();
        else
            complain(*node, key, "must be true or false");
    }

    void duration(const char* key, milliseconds& value, milliseconds low, milliseconds high)
    {
        const auto* const node = find(key);
        if (node == nullptr)
            return;
        const auto* const string = node->as_string();
        const auto duration = string != nullptr ? duration_from(string->get()) : std::nullopt;
        if (!duration || *duration < low || *duration > high)
            complain(*node, key,
                     fmt::format(R"(must be a time from {} to {}, such as "500ms", "20s", "15m", "2h" or "7d")",
                                 shown(low), shown(high)));
        else
            value = *duration;
    }

    void size(const char* key, std::uint64_t& value) // octets
    {
        constexpr std::uint64_t most = std::uint64_t{1} << 40U;
        const auto* const node = find(key);
        if (node == nullptr)
            return;
        const auto* const string = node->as_string();
        const auto size = string != nullptr ? size_from(string->get()) : std::nullopt;
        if (!size || *size > most)
            complain(*node, key, R"(must be a size from 0 to 1TiB, such as "512KiB", "64MiB" or "1GiB")");
        else
            value = *size;
    }

    // None: the key is not there, or it is no list.
    std::optional<std::vector<std::string>> texts(const char* key)
    {
        const auto* const node = find(key);
        if (node == nullptr)
            return std::nullopt;
        std::vector<std::string> values;
        const auto* const array = node->as_array();
        bool is_list = array != nullptr;
        for (std::size_t i = 0; is_list && i < array->size(); ++i) {
            const auto* const string = array->get(i)->as_string();
            is_list = string != nullptr;
            if (is_list)
                values.emplace_back(trimmed(string->get()));
        }
        if (!is_list) {
            complain(*node, key, R"(must be a list of texts, such as ["a@example.com", "b@example.com"])");
            return std::nullopt;
        }
        return values;
    }

    bool has(const char* key) { return find(key) != nullptr; }

    const toml::table* table(const char* key)
    {
        const auto* const node = find(key);
        if (node != nullptr && !node->is_table())
            complain(*node, key, "must be a table");
        return node != nullptr ? node->as_table() : nullptr;
    }

    // For what is right by itself and contradicts another key. A key that is not there contradicts nothing.
    void refuse(const char* key, std::string_view why)
    {
        if (const auto* const node = find(key); node != nullptr)
            complain(*node, key, why);
    }

    template <class Enum>
    void choice(const char* key, Enum& value, const std::vector<std::pair<std::string_view, Enum>>& choices)
    {
        const auto* const node = find(key);
        if (node == nullptr)
            return;
        const auto* const string = node->as_string();
        const auto found =
            std::ranges::find_if(choices, [&](const auto& c) { return string != nullptr && c.first == string->get(); });
        if (found != choices.end()) {
            value = found->second;
            return;
        }
        std::string names;
        for (const auto& [name, unused] : choices)
            names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", name);
        complain(*node, key, "must be one of " + names);
    }

    void host_name(const char* key, std::string& value, bool required)
    {
        const std::size_t before = problems_.size();
        text(key, value, required);
        if (problems_.size() == before && !value.empty() && !is_host_name(value))
            complain(*find(key), key, fmt::format("\"{}\" is not a domain name", value));
    }

    void refuse_the_rest()
    {
        if (table_ == nullptr)
            return;
        for (const auto& [key, node] : *table_) {
            const std::string name(key.str());
            if (std::ranges::find(known_, name) == known_.end())
                complain(node, name, "there is no such key" + suggestion(name, known_));
        }
    }

private:
    const toml::node* find(const char* key)
    {
        if (std::ranges::find(known_, key) == known_.end())
            known_.emplace_back(key);
        return table_ != nullptr ? table_->get(key) : nullptr;
    }

    void complain(const toml::node& node, std::string_view key, std::string_view what)
    {
        problems_.push_back(fmt::format("{}:{}: [{}] {}{}{}", path_, node.source().begin.line, name_, key,
                                        key.empty() ? "" : ": ", what));
    }

    static std::string shown(milliseconds value)
    {
        if (value.count() % 86'400'000 == 0 && value > std::chrono::days(7))
            return fmt::format("{}d", value.count() / 86'400'000);
        if (value.count() % 3'600'000 == 0 && value.count() > 0)
            return fmt::format("{}h", value.count() / 3'600'000);
        return value.count() % 1'000 == 0 ? fmt::format("{}s", value.count() / 1'000)
                                          : fmt::format("{}ms", value.count());
    }

    const toml::table* table_ = nullptr;
    std::string name_;
    const std::string& path_;
    Problems& problems_;
    std::vector<std::string> known_;
};

using Policies = std::vector<std::pair<std::string_view, DoubtPolicy>>;
const Policies doubt_policies{
    {"resend_once", DoubtPolicy::resend_once}, {"hold", DoubtPolicy::hold}, {"look_up", DoubtPolicy::look_up}};
constexpr auto longest_doubt = std::chrono::hours(168);

void read_exception(const toml::table& table, const std::string& name, const std::string& within,
                    ServiceFile::DoubtRule& rule, Problems& problems, const std::string& path)
{
    Section keys(table, name, path, problems, within);
    keys.choice<DoubtPolicy>("policy", rule.policy, doubt_policies);
    keys.duration("resend_after", rule.resend_after, milliseconds(0), longest_doubt);
    keys.refuse_the_rest();
}

// What differs from [doubt]: [doubt.mass], [doubt.account."billing@example.com"]. What is not said there is as in
// [doubt].
void read_exceptions(const toml::table& file, Section& keys, ServiceFile::Doubt& doubt, Problems& problems,
                     const std::string& path)
{
    for (const Category category : {Category::standard, Category::mass, Category::dispatch, Category::mobile}) {
        const std::string name(to_string(category));
        if (keys.has(name.c_str()))
            read_exception(*file.get_as<toml::table>("doubt"), name, "doubt",
                           doubt.categories.try_emplace(category, doubt).first->second, problems, path);
    }
    if (const auto* const accounts = keys.table("account"); accounts != nullptr) {
        for (const auto& [account, node] : *accounts)
            read_exception(*accounts, std::string(account.str()), "doubt.account",
                           doubt.accounts.try_emplace(ascii_lower(account.str()), doubt).first->second, problems, path);
    }
}

// What is wrong in it must never let mail out: an empty list to redirect to is refused, an empty list of who is allowed
// allows nobody.
void read_safety(Section& keys, const std::optional<std::vector<std::string>>& redirect_to,
                 const std::optional<std::vector<std::string>>& allow_only, ServiceFile::Safety& safety)
{
    if (redirect_to) {
        if (redirect_to->empty())
            keys.refuse("redirect_to", "names no address: leave the key out where nothing is to be redirected");
        for (const auto& text : *redirect_to) {
            auto address = MailAddress::parse(text);
            if (address)
                safety.redirect_to.push_back(*std::move(address));
            else
                keys.refuse("redirect_to", fmt::format("\"{}\": {}", text, address.error().text));
        }
    }
    if (allow_only) {
        safety.allow_only.emplace();
        for (const auto& text : *allow_only) {
            const auto address = MailAddress::parse(text.find('@') == std::string::npos ? "x@" + text : text);
            if (!address)
                keys.refuse("allow_only", fmt::format("\"{}\" is neither an address nor a domain", text));
            else // a domain of another script is compared as it stands in an envelope
                safety.allow_only->push_back(
                    ascii_lower(text.find('@') == std::string::npos ? address->domain() : address->str()));
        }
        for (const auto& address : safety.redirect_to)
            if (std::ranges::find(*safety.allow_only, ascii_lower(address.str())) == safety.allow_only->end() &&
                std::ranges::find(*safety.allow_only, ascii_lower(address.domain())) == safety.allow_only->end())
                keys.refuse("redirect_to", fmt::format("\"{}\" is not in allow_only", address.written()));
    }
}

const std::vector<std::pair<std::string_view, JournalStore>> journal_stores{
    {"file", JournalStore::file}, {"database", JournalStore::database}, {"none", JournalStore::none}};

void settle_journal(Section& keys, const ServiceFile::Journal& journal)
{
    if (journal.store == JournalStore::file)
        return;
    for (const char* key : {"directory", "sync", "keep"})
        keys.refuse(key, R"(is for store = "file" alone)");
}

// Naming a file is enough to have the log there.
void settle_target(Section& keys, ServiceFile::Log& log)
{
    if (!log.file.empty() && !keys.has("target"))
        log.target = LogTarget::file;
    if (log.target == LogTarget::file && log.file.empty())
        keys.refuse("target", "\"file\" needs to know which: name it with file");
    if (log.target == LogTarget::journal && log.format == LogFormat::json)
        keys.refuse("format", "the journal has fields of its own: leave it out, or choose another target");
    if (log.target != LogTarget::file) {
        for (const char* key : {"max_size", "keep"})
            keys.refuse(key, "is for a file alone");
        if (!log.file.empty())
            keys.refuse("file", "is for target = \"file\" alone");
    } else if (log.max_size == 0) {
        keys.refuse("keep", "nothing is kept where max_size is 0: the file goes on, and something else rotates it");
    }
}

} // namespace

boost::system::result<ServiceFile, Problems> parse_service_file(std::string_view text, std::string path)
{
    using namespace std::chrono_literals;
    ServiceFile file;
    file.path = path;
    Problems problems;
    toml::table root;
    try {
        root = toml::parse(text, path);
    } catch (const toml::parse_error& error) {
        return Problems{one_line(fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()))};
    }
    const auto section = [&](const char* name, auto&& read) {
        Section keys(root, name, path, problems);
        read(keys);
        keys.refuse_the_rest();
    };
    section("installation", [&](Section& keys) {
        keys.text("name", file.installation.name, true);
        keys.host_name("domain", file.installation.domain, true);
    });
    section("database", [&](Section& keys) {
        keys.text("connection", file.database.connection, true);
        keys.truth("pooled", file.database.pooled);
    });
    section("secrets", [&](Section& keys) { keys.text("key_file", file.secrets.key_file); });
    section("safety", [&](Section& keys) {
        const auto redirect_to = keys.texts("redirect_to");
        const auto allow_only = keys.texts("allow_only");
        read_safety(keys, redirect_to, allow_only, file.safety);
    });
    section("tls", [&](Section& keys) { keys.text("ca_file", file.tls.ca_file); });
    section("smtp", [&](Section& keys) {
        keys.host_name("client_name", file.smtp.client_name, false);
        keys.duration("connect", file.smtp.connect, 100ms, 300s);
        keys.duration("reply", file.smtp.reply, 100ms, 3600s);
        keys.duration("final_reply", file.smtp.final_reply, 100ms, 3600s);
        keys.duration("delivery", file.smtp.delivery, 100ms, 24h);
        keys.duration("idle", file.smtp.idle, 0ms, 3600s);
        keys.choice<PipeliningPolicy>("pipelining", file.smtp.pipelining,
                                      {{"auto", PipeliningPolicy::automatic},
                                       {"next_message", PipeliningPolicy::next_message},
                                       {"message", PipeliningPolicy::message},
                                       {"never", PipeliningPolicy::never}});
    });
    section("dispatcher", [&](Section& keys) {
        keys.number("connections", file.dispatcher.connections, 1, 512);
        keys.number("connections_per_account", file.dispatcher.connections_per_account, 0, 512);
        keys.duration("lease", file.dispatcher.lease, 1s, 3600s);
        keys.duration("poll", file.dispatcher.poll, 50ms, 60s);
        keys.duration("stop_limit", file.dispatcher.stop_limit, 1s, 3600s);
    });
    section("retry", [&](Section& keys) {
        keys.number("max_attempts", file.retry.max_attempts, 1, 1000);
        keys.duration("max_age", file.retry.max_age, 0ms, days(365));
    });
    section("doubt", [&](Section& keys) {
        keys.choice<DoubtPolicy>("policy", file.doubt.policy, doubt_policies);
        keys.duration("resend_after", file.doubt.resend_after, 0ms, longest_doubt);
        read_exceptions(root, keys, file.doubt, problems, path);
    });
    section("journal", [&](Section& keys) {
        keys.choice<JournalStore>("store", file.journal.store, journal_stores);
        keys.text("directory", file.journal.directory);
        keys.choice<JournalSync>("sync", file.journal.sync,
                                 {{"process", JournalSync::process}, {"machine", JournalSync::machine}});
        keys.duration("keep", file.journal.keep, 0ms, days(365));
        settle_journal(keys, file.journal);
    });
    section("retention", [&](Section& keys) {
        keys.duration("content", file.retention.content, 1h, days(3650));
        keys.duration("log", file.retention.log, 24h, days(3650));
        keys.duration("idempotency", file.retention.idempotency, 1h, days(3650));
    });
    section("log", [&](Section& keys) {
        const std::size_t before = problems.size();
        keys.choice<LogLevel>("level", file.log.level,
                              {{"debug", LogLevel::debug},
                               {"info", LogLevel::info},
                               {"warning", LogLevel::warning},
                               {"error", LogLevel::error}});
        keys.choice<LogTarget>("target", file.log.target,
                               {{"auto", LogTarget::automatic},
                                {"stderr", LogTarget::standard_error},
                                {"file", LogTarget::file},
                                {"journal", LogTarget::journal}});
        keys.choice<LogFormat>("format", file.log.format, {{"text", LogFormat::text}, {"json", LogFormat::json}});
        keys.text("file", file.log.file);
        keys.size("max_size", file.log.max_size);
        keys.number("keep", file.log.keep, 1, 100);
        keys.truth("subjects", file.log.subjects);
        if (problems.size() == before)
            settle_target(keys, file.log);
    });
    const std::vector<std::string> sections{"installation", "database", "secrets", "safety",  "tls",       "smtp",
                                            "dispatcher",   "retry",    "doubt",   "journal", "retention", "log"};
    for (const auto& [key, node] : root) {
        const std::string name(key.str());
        if (std::ranges::find(sections, name) == sections.end())
            problems.push_back(fmt::format("{}:{}: {}: there is no such section{}", path, node.source().begin.line,
                                           name, suggestion(name, sections)));
    }
    if (problems.empty())
        return file;
    std::ranges::transform(problems, problems.begin(), one_line);
    return problems;
}

boost::system::result<ServiceFile, Problems> load_service_file(const std::string& path)
{
    std::ifstream stream(path, std::ios::binary);
    if (!stream)
        return Problems{
            fmt::format("{}: {}; name another file with --config, or write one as docs/getting-started.md does", path,
                        std::strerror(errno))};
    std::string text;
    std::array<char, 4096> part{};
    while (stream.read(part.data(), part.size()) || stream.gcount() > 0)
        text.append(part.data(), static_cast<std::size_t>(stream.gcount()));
    if (stream.bad()) // a folder, say: it opens, and then cannot be read
        return Problems{fmt::format("{}: it cannot be read: {}", path, std::strerror(errno))};
    return parse_service_file(text, path);
}

} // namespace mailroom
