#include "queue/keyring.hpp"

#include "config/text.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace mailroom::queue {
namespace {

constexpr std::size_t encoded_size = 44; // 32 octets as base64 (RFC 4648, section 4)

const unsigned char* text_bytes(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

std::string base64(std::string_view bytes)
{
    std::string text(encoded_size + 1, '\0');
    text.resize(static_cast<std::size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                         text_bytes(bytes), static_cast<int>(bytes.size()))));
    return text;
}

std::optional<SealingKey> decoded(std::string_view text)
{
    if (text.size() != encoded_size || !text.ends_with('=') || text.ends_with("=="))
        return std::nullopt;                                 // of another size
    std::array<unsigned char, SealingKey::size + 1> bytes{}; // EVP_DecodeBlock counts the padding as an octet
    const bool is_base64 = EVP_DecodeBlock(bytes.data(), text_bytes(text), static_cast<int>(text.size())) ==
                           static_cast<int>(bytes.size());
    std::optional<SealingKey> key;
    if (is_base64)
        key.emplace(Secret(std::string(reinterpret_cast<const char*>(bytes.data()), SealingKey::size)));
    OPENSSL_cleanse(bytes.data(), bytes.size());
    return key;
}

Error about(const std::string& path, std::string_view what)
{
    return Error{fmt::format("key file {}: {}", path, what)};
}

// Writes all of a file that is open, so that it stands after a crash as well; closes it.
bool write_and_close(int file, const std::vector<SealingKey>& keys)
{
    std::string text;
    text.reserve(keys.size() * (encoded_size + 1));
    for (const auto& key : keys) {
        std::string line = base64(key.octets().reveal()) + "\n";
        text += line;
        wipe(line);
    }
    const bool written =
        ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
    wipe(text);
    return ::close(file) == 0 && written;
}

Result<void> replace(const std::string& path, const std::vector<SealingKey>& keys)
{
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
        return about(path, std::strerror(errno));
    const std::string fresh = path + ".new";
    ::unlink(fresh.c_str()); // of one that was interrupted
    const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (file < 0)
        return about(fresh, std::strerror(errno));
    const bool same_owner = ::fchown(file, info.st_uid, info.st_gid) == 0 && ::fchmod(file, info.st_mode & 07777) == 0;
    const int why_not = errno;
    if (!write_and_close(file, keys) || !same_owner || ::rename(fresh.c_str(), path.c_str()) != 0) {
        const int why = same_owner ? errno : why_not;
        ::unlink(fresh.c_str());
        return about(path, fmt::format("it cannot be replaced, and is as it was: {}", std::strerror(why)));
    }
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const int entries = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool lasts = entries >= 0 && ::fsync(entries) == 0; // the new name as well
    if (entries >= 0)
        ::close(entries);
    return lasts ? Result<void>()
                 : about(path, "it is replaced, but may be as before after a loss of power: run `sync`");
}

} // namespace

Result<Keyring> Keyring::load(const std::string& path)
{
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
        return about(path, fmt::format("{}; make one with `mailroom config new-key {}`", std::strerror(errno), path));
    if ((info.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        return about(path, fmt::format("it can be read by others than its owner (mode {:04o}); run `chmod 0400 {}`",
                                       info.st_mode & 07777, path));
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (!file.good() && !file.eof())
        return about(path, "it cannot be read");
    std::vector<SealingKey> keys;
    bool all_are_keys = true;
    for (std::string_view rest = trimmed(text); !rest.empty() && all_are_keys && keys.size() <= most_keys;) {
        const auto end = std::min(rest.find('\n'), rest.size());
        auto key = decoded(trimmed(rest.substr(0, end)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
        all_are_keys = key.has_value();
        if (key && std::ranges::none_of(keys, [&](const SealingKey& known) { return known.id() == key->id(); }))
            keys.push_back(*std::move(key));
    }
    wipe(text);
    if (!all_are_keys || keys.empty())
        return about(path, "each line must hold 32 octets as base64 (44 characters), as `mailroom config new-key` "
                           "writes them");
    if (keys.size() > most_keys)
        return about(path, fmt::format("it holds more than {} keys; drop those that seal nothing any more "
                                       "(`mailroom key list`)",
                                       most_keys));
    return Keyring(std::move(keys));
}

Result<Keyring> Keyring::create(const std::string& path)
{
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (file < 0)
        return about(path, errno == EEXIST ? "it exists already and is not overwritten" : std::strerror(errno));
    Keyring ring({SealingKey::make()});
    if (!write_and_close(file, ring.keys_)) {
        const int why = errno;
        ::unlink(path.c_str());
        return about(path, fmt::format("it cannot be written: {}", std::strerror(why)));
    }
    return ring;
}

Result<void> Keyring::add_key(const std::string& path)
{
    if (keys_.size() == most_keys)
        return about(path, fmt::format("it holds {} keys already: drop those that seal nothing any more "
                                       "(`mailroom key list`)",
                                       most_keys));
    keys_.push_back(SealingKey::make());
    auto replaced = replace(path, keys_);
    if (!replaced)
        keys_.pop_back();
    return replaced;
}

Result<void> Keyring::drop_key(const std::string& path, std::string_view id)
{
    if (find(id) == nullptr)
        return about(path, fmt::format("it holds no key {}: `mailroom key list` shows those that it holds", id));
    if (keys_.size() == 1)
        return about(path, fmt::format("{} is its only key: first add another (`mailroom key add`) and seal with that "
                                       "(`mailroom key rotate`)",
                                       id));
    std::vector<SealingKey> kept;
    std::ranges::copy_if(keys_, std::back_inserter(kept), [&](const SealingKey& key) { return key.id() != id; });
    auto replaced = replace(path, kept);
    if (replaced)
        keys_ = std::move(kept);
    return replaced;
}

const SealingKey* Keyring::find(std::string_view id) const
{
    const auto found = std::ranges::find(keys_, id, &SealingKey::id);
    return found == keys_.end() ? nullptr : &*found;
}

std::vector<std::string> Keyring::ids() const
{
    std::vector<std::string> ids;
    std::ranges::transform(keys_, std::back_inserter(ids), &SealingKey::id);
    return ids;
}

Result<Secret> Keyring::open(const SealedSecret& sealed, std::string_view place) const
{
    const std::string id = key_of(sealed);
    const SealingKey* const key = find(id);
    if (key == nullptr && !id.empty())
        return Error{fmt::format("the secret {} was sealed with the key {}, this service has {}", place, id,
                                 fmt::join(ids(), " and "))};
    return (key != nullptr ? *key : newest()).open(sealed, place); // which says what is wrong with it
}

std::vector<std::uint8_t> Keyring::fingerprint(const SealedSecret& sealed, std::string_view server,
                                               std::string_view login, const Secret& password) const
{
    const SealingKey* const key = find(key_of(sealed));
    return (key != nullptr ? *key : newest()).fingerprint(server, login, password);
}

} // namespace mailroom::queue
