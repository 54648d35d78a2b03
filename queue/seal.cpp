#include "queue/seal.hpp"

#include "config/text.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace mailroom::queue {
namespace {

// A sealed secret: key id (8), nonce (12), ciphertext, tag (16).
constexpr std::size_t key_id_size = 8;
constexpr std::size_t nonce_size = 12; // SP 800-38D section 8.2
constexpr std::size_t tag_size = 16;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* octets_of(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}

int count(std::size_t size)
{
    return static_cast<int>(size);
}

void must(int result)
{
    if (result != 1)
        throw std::runtime_error("OpenSSL failed to seal a secret");
}

std::array<unsigned char, SHA256_DIGEST_LENGTH> digest(std::string_view text)
{
    std::array<unsigned char, SHA256_DIGEST_LENGTH> result{};
    SHA256(octets_of(text), text.size(), result.data());
    return result;
}

std::string hexadecimal(const unsigned char* octets, std::size_t size)
{
    return fmt::format("{:02x}", fmt::join(octets, octets + size, ""));
}

std::string place_of(const Owner& owner, std::string_view column)
{
    return owner.kind == Owner::Kind::general ? fmt::format("general/{}", column)
                                              : fmt::format("users/{}/{}", owner.id, column);
}

} // namespace

SealingKey::SealingKey(Secret octets) : octets_(std::move(octets))
{
    const auto hash = digest("mailroom key id " + std::string(octets_.reveal()));
    id_ = hexadecimal(hash.data(), key_id_size);
}

SealingKey SealingKey::make()
{
    std::array<unsigned char, size> bytes{};
    must(RAND_bytes(bytes.data(), count(bytes.size())));
    SealingKey key(Secret(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
    OPENSSL_cleanse(bytes.data(), bytes.size());
    return key;
}

SealedSecret SealingKey::seal(const Secret& secret, std::string_view place) const
{
    const std::string_view plain = secret.reveal();
    SealedSecret sealed(key_id_size + nonce_size + plain.size() + tag_size);
    const auto hash = digest("mailroom key id " + std::string(octets_.reveal()));
    std::memcpy(sealed.data(), hash.data(), key_id_size);
    unsigned char* const nonce = sealed.data() + key_id_size;
    unsigned char* const body = nonce + nonce_size;
    must(RAND_bytes(nonce, nonce_size));
    const std::string bound = std::string(place) + "/" + id_;
    const Cipher cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    int written = 0;
    must(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, octets_of(octets_.reveal()), nonce));
    must(EVP_EncryptUpdate(cipher.get(), nullptr, &written, octets_of(bound), count(bound.size())));
    must(EVP_EncryptUpdate(cipher.get(), body, &written, octets_of(plain), count(plain.size())));
    must(EVP_EncryptFinal_ex(cipher.get(), body + written, &written));
    must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, tag_size, body + plain.size()));
    return sealed;
}

Result<Secret> SealingKey::open(const SealedSecret& sealed, std::string_view place) const
{
    const std::string key_id = key_of(sealed);
    if (key_id.empty())
        return Error{fmt::format("the secret {} is damaged: it is too short", place)};
    if (key_id != id_)
        return Error{
            fmt::format("the secret {} was sealed with the key {}, this service has the key {}", place, key_id, id_)};
    const unsigned char* const nonce = sealed.data() + key_id_size;
    const unsigned char* const body = nonce + nonce_size;
    const std::size_t length = sealed.size() - key_id_size - nonce_size - tag_size;
    std::array<unsigned char, tag_size> tag{};
    std::memcpy(tag.data(), body + length, tag_size);
    const std::string bound = std::string(place) + "/" + id_;
    std::string plain(length, '\0');
    const Cipher cipher(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    int written = 0;
    must(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, octets_of(octets_.reveal()), nonce));
    must(EVP_DecryptUpdate(cipher.get(), nullptr, &written, octets_of(bound), count(bound.size())));
    auto* const out = reinterpret_cast<unsigned char*>(plain.data());
    must(EVP_DecryptUpdate(cipher.get(), out, &written, body, count(length)));
    must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, tag_size, tag.data()));
    const bool genuine = EVP_DecryptFinal_ex(cipher.get(), out + written, &written) == 1;
    Secret secret(plain);
    wipe(plain);
    if (!genuine)
        return Error{fmt::format("the secret {} does not open: it was altered, or moved from another place", place)};
    return secret;
}

std::vector<std::uint8_t> SealingKey::fingerprint(std::string_view server, std::string_view login,
                                                  const Secret& password) const
{
    std::string text = ascii_lower(server);
    text += '\0';
    text += login;
    text += '\0';
    text += password.reveal();
    std::vector<std::uint8_t> result(SHA256_DIGEST_LENGTH);
    unsigned int written = 0;
    HMAC(EVP_sha256(), octets_.reveal().data(), count(octets_.reveal().size()), octets_of(text), text.size(),
         result.data(), &written);
    wipe(text);
    return result;
}

std::string key_of(const SealedSecret& sealed)
{
    return sealed.size() < key_id_size + nonce_size + tag_size ? "" : hexadecimal(sealed.data(), key_id_size);
}

std::string password_place(const Owner& owner)
{
    return place_of(owner, "password");
}

std::string token_place(const Owner& owner)
{
    return place_of(owner, "token");
}

} // namespace mailroom::queue
