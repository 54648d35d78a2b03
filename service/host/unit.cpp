#include "service/host/unit.hpp"

#include "config/text.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace mailroom::host {
namespace {

namespace fs = std::filesystem;

constexpr const char* default_config = "/etc/mailroom/mailroom.toml";

std::vector<std::string> words_of(const std::string& text)
{
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    return words;
}

// What goes before, first (systemd.unit(5)).
std::vector<fs::path> unit_folders()
{
    std::vector<fs::path> folders;
    if (const char* const set = std::getenv("SYSTEMD_UNIT_PATH"); set != nullptr) {
        std::istringstream stream(set);
        for (std::string folder; std::getline(stream, folder, ':');)
            folders.emplace_back(folder);
        return folders;
    }
    for (const char* const folder : {"/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"})
        folders.emplace_back(fs::path(folder) / "systemd/system");
    return folders;
}

// The lines of a unit's [Service], in the order of the files; an empty value forgets those before.
using Lines = std::map<std::string, std::vector<std::string>>;

void read(const fs::path& file, Lines& lines)
{
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) {
        const std::string text(trimmed(line));
        const auto equals = text.find('=');
        if (equals == std::string::npos || text.front() == '#' || text.front() == ';')
            continue;
        const std::string value(trimmed(std::string_view(text).substr(equals + 1)));
        auto& values = lines[std::string(trimmed(std::string_view(text).substr(0, equals)))];
        if (value.empty())
            values.clear();
        else
            values.push_back(value);
    }
}

// Of one name, drop-ins included; empty: there is no such unit.
Lines lines_of(const std::string& name, const std::string& instance)
{
    const auto folders = unit_folders();
    Lines lines;
    std::error_code error;
    const auto found =
        std::ranges::find_if(folders, [&](const fs::path& folder) { return fs::exists(folder / name, error); });
    if (found == folders.end())
        return lines;
    read(*found / name, lines);
    std::map<std::string, fs::path> added; // by name: the first folder's goes before
    for (const auto& folder : folders)
        for (const auto& of : std::set{name, instance})
            for (const auto& entry : fs::directory_iterator(folder / (of + ".d"), error))
                if (entry.path().extension() == ".conf")
                    added.emplace(entry.path().filename().string(), entry.path());
    for (const auto& [file, path] : added)
        read(path, lines);
    return lines;
}

std::string with_instance(std::string text, const std::string& instance)
{
    for (std::size_t at = 0; (at = text.find("%i", at)) != std::string::npos; at += instance.size())
        text.replace(at, 2, instance);
    return text;
}

// All words of all lines of a setting.
std::vector<std::string> list(const Lines& lines, const std::string& key, const std::string& instance)
{
    std::vector<std::string> all;
    if (const auto found = lines.find(key); found != lines.end())
        for (const auto& value : found->second)
            for (const auto& word : words_of(with_instance(value, instance)))
                all.push_back(word);
    return all;
}

std::string last(const Lines& lines, const std::string& key)
{
    const auto found = lines.find(key);
    return found == lines.end() || found->second.empty() ? "" : found->second.back();
}

bool runs_with(const Lines& lines, const std::string& instance, const std::string& config_path)
{
    const auto words = list(lines, "ExecStart", instance);
    if (std::ranges::find(words, "--config") == words.end())
        return !words.empty() && config_path == default_config;
    return std::ranges::find(words, config_path) != words.end();
}

Unit make(std::string name, const Lines& lines, const std::string& instance)
{
    Unit unit{std::move(name), last(lines, "User"), {}, last(lines, "ProtectSystem") == "strict", {}};
    for (const char* const key : {"LoadCredential", "LoadCredentialEncrypted"})
        for (const auto& word : list(lines, key, instance))
            if (word.starts_with("mailroom.key:"))
                unit.key = word.substr(word.find(':') + 1);
    constexpr std::array<std::pair<const char*, const char*>, 4> folders{{{"StateDirectory", "/var/lib/"},
                                                                          {"LogsDirectory", "/var/log/"},
                                                                          {"CacheDirectory", "/var/cache/"},
                                                                          {"RuntimeDirectory", "/run/"}}};
    for (const auto& [key, above] : folders)
        for (const auto& word : list(lines, key, instance))
            unit.writable.push_back(above + word);
    for (const auto& word : list(lines, "ReadWritePaths", instance))
        unit.writable.push_back(word.substr(std::min(word.find_first_not_of("-+"), word.size())));
    return unit;
}

} // namespace

std::optional<Unit> unit_of(const std::string& config_path)
{
    const fs::path path = fs::absolute(config_path).lexically_normal();
    const std::string company = "mailroom@" + path.stem().string() + ".service";
    const std::array<std::pair<std::string, std::string>, 2> names{
        {{"mailroom.service", "mailroom.service"}, {"mailroom@.service", company}}};
    for (const auto& [file, name] : names) {
        const Lines lines = lines_of(file, name);
        if (runs_with(lines, path.stem().string(), path.string()))
            return make(name, lines, path.stem().string());
    }
    return std::nullopt;
}

} // namespace mailroom::host
