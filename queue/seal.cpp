#include "queue/seal.hpp"

#include "config/text.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <sys/stat.h>
#include <unistd.h>

namespace mailroom::queue {
namespace {

// A sealed secret: key id (8), nonce (12), ciphertext, tag (16).
constexpr std::size_t key_id_size = 8;
constexpr std::size_t nonce_size = 12; // SP 800-38D section 8.2
constexpr std::size_t tag_size = 16;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* octets(std::string_view text)
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
    SHA256(octets(text), text.size(), result.data());
    return result;
}

std::string base64(std::string_view bytes)
{
    std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    text.resize(static_cast<std::size_t>(
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), octets(bytes), count(bytes.size()))));
    return text;
}

// The 32 octets of a key file; empty: it is none.
Secret decoded_key(std::string_view text)
{
    if (text.size() != 44 || !text.ends_with('=') || text.ends_with("=="))
        return {};                                           // of another size
    std::array<unsigned char, SealingKey::size + 1> bytes{}; // EVP_DecodeBlock counts the padding as an octet
    const bool decoded =
        EVP_DecodeBlock(bytes.data(), octets(text), count(text.size())) == static_cast<int>(bytes.size());
    Secret key(decoded ? std::string(reinterpret_cast<const char*>(bytes.data()), SealingKey::size) : std::string());
    OPENSSL_cleanse(bytes.data(), bytes.size());
    return key;
}

} // namespace

SealingKey::SealingKey(Secret key) : octets_(std::move(key))
{
    const auto hash = digest("mailroom key id " + std::string(octets_.reveal()));
    for (std::size_t i = 0; i < key_id_size; ++i)
        id_ += fmt::format("{:02x}", hash[i]);
}

Result<SealingKey> SealingKey::load(const std::string& path)
{
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
        return Error{fmt::format("key file {}: {}; make one with `mailroom config new-key {}`", path,
                                 std::strerror(errno), path)};
    if ((info.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        return Error{
            fmt::format("key file {}: it can be read by others than its owner (mode {:04o}); run `chmod 0400 {}`", path,
                        info.st_mode & 07777, path)};
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (!file.good() && !file.eof())
        return Error{fmt::format("key file {}: it cannot be read", path)};
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
        text.pop_back();
    Secret key = decoded_key(text);
    wipe(text);
    if (key.empty())
        return Error{fmt::format(
            "key file {}: it must hold 32 octets as base64 (44 characters), as `mailroom config new-key` writes them",
            path)};
    return SealingKey(std::move(key));
}

Result<SealingKey> SealingKey::create(const std::string& path)
{
    std::array<unsigned char, size> bytes{};
    must(RAND_bytes(bytes.data(), count(bytes.size())));
    Secret key(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    OPENSSL_cleanse(bytes.data(), bytes.size());
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (file < 0)
        return Error{fmt::format("key file {}: {}", path,
                                 errno == EEXIST ? "it exists already and is not overwritten" : std::strerror(errno))};
    std::string text = base64(key.reveal()) + "\n";
    const bool written =
        ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file) == 0;
    ::close(file);
    wipe(text);
    if (!written) {
        ::unlink(path.c_str());
        return Error{fmt::format("key file {}: it cannot be written: {}", path, std::strerror(errno))};
    }
    return SealingKey(std::move(key));
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
    must(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, octets(octets_.reveal()), nonce));
    must(EVP_EncryptUpdate(cipher.get(), nullptr, &written, octets(bound), count(bound.size())));
    must(EVP_EncryptUpdate(cipher.get(), body, &written, octets(plain), count(plain.size())));
    must(EVP_EncryptFinal_ex(cipher.get(), body + written, &written));
    must(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, tag_size, body + plain.size()));
    return sealed;
}

Result<Secret> SealingKey::open(const SealedSecret& sealed, std::string_view place) const
{
    if (sealed.size() < key_id_size + nonce_size + tag_size)
        return Error{fmt::format("the secret {} is damaged: it is too short", place)};
    std::string key_id;
    for (std::size_t i = 0; i < key_id_size; ++i)
        key_id += fmt::format("{:02x}", sealed[i]);
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
    must(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, octets(octets_.reveal()), nonce));
    must(EVP_DecryptUpdate(cipher.get(), nullptr, &written, octets(bound), count(bound.size())));
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
    HMAC(EVP_sha256(), octets_.reveal().data(), count(octets_.reveal().size()), octets(text), text.size(),
         result.data(), &written);
    wipe(text);
    return result;
}

std::string password_place(const Owner& owner)
{
    return owner.kind == Owner::Kind::general ? "general/password" : fmt::format("users/{}/password", owner.id);
}

} // namespace mailroom::queue
