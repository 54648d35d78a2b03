// The keys of a service, from its key file: a key on each line. What is sealed is opened with the key that its id
// names, so that keys can be replaced while the service runs (docs/security.md).
#pragma once

#include "queue/seal.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mailroom::queue {

class Keyring {
public:
    static constexpr std::size_t most_keys = 16; // ours

    // Each line of the file holds 32 octets as base64; nobody but its owner and group may read it.
    static Result<Keyring> load(const std::string& path);
    // Writes a file with one new key, mode 0400; refuses to overwrite.
    static Result<Keyring> create(const std::string& path);

    // Write the file anew, whole or not at all, with the mode and the owner that it had.
    Result<void> add_key(const std::string& path);
    Result<void> drop_key(const std::string& path, std::string_view id);

    const SealingKey* find(std::string_view id) const; // null: it is not among them
    const SealingKey& oldest() const { return keys_.front(); }
    const SealingKey& newest() const { return keys_.back(); }
    std::vector<std::string> ids() const; // the oldest first

    Result<Secret> open(const SealedSecret& sealed, std::string_view place) const;
    // By the key that the password is sealed with: all who have that key get the same, whatever others they have.
    std::vector<std::uint8_t> fingerprint(const SealedSecret& sealed, std::string_view server, std::string_view login,
                                          const Secret& password) const;

private:
    explicit Keyring(std::vector<SealingKey> keys) : keys_(std::move(keys)) {}
    std::vector<SealingKey> keys_; // never empty
};

} // namespace mailroom::queue
