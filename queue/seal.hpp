// Secrets at rest: AES-256-GCM (NIST SP 800-38D) with the key that the service was given, bound to the place where they
// are stored. It also makes the fingerprint by which a refused login is known without knowing the password.
#pragma once

#include "config/error.hpp"
#include "config/mail_settings.hpp"
#include "config/secret.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::queue {

class SealingKey {
public:
    static constexpr std::size_t size = 32; // octets

    explicit SealingKey(Secret octets); // `size` of them
    static SealingKey make();           // a new one

    const std::string& id() const { return id_; } // 16 hexadecimal digits, says nothing about the key

    // `place` binds the seal to where it is stored ("general/password", "users/12/password"): opened elsewhere, it
    // fails.
    SealedSecret seal(const Secret& secret, std::string_view place) const;
    Result<Secret> open(const SealedSecret& sealed, std::string_view place) const;

    // HMAC-SHA-256 of server, login and password: the same for owners who hold the same login.
    std::vector<std::uint8_t> fingerprint(std::string_view server, std::string_view login,
                                          const Secret& password) const;

    const Secret& octets() const { return octets_; } // for its file

private:
    Secret octets_;
    std::string id_;
};

// The id of the key that a secret was sealed with; empty: it is too short to be one.
std::string key_of(const SealedSecret& sealed);

std::string password_place(const Owner& owner);
std::string token_place(const Owner& owner);

} // namespace mailroom::queue
