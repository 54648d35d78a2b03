#include "queue/keyring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace mailroom::queue {
namespace {

using testing::HasSubstr;

class Sealing : public testing::Test {
protected:
    Sealing()
    {
        std::string name = std::filesystem::temp_directory_path() / "mailroom-test-XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~Sealing() override { std::filesystem::remove_all(folder); }

    std::string path(const std::string& name) const { return folder + "/" + name; }

    // A key file as somebody wrote it by hand.
    std::string write(const std::string& text, mode_t mode = 0400) const
    {
        std::ofstream(path("by-hand")) << text;
        ::chmod(path("by-hand").c_str(), mode);
        return path("by-hand");
    }

    std::string text_of(const std::string& file) const
    {
        std::ifstream stream(file);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    SealingKey key(const std::string& name = "key") const { return Keyring::create(path(name)).value().newest(); }

    static std::string problem(const Result<Keyring>& loaded) { return loaded ? "" : loaded.error().text; }
    static std::string problem(const Result<Secret>& opened) { return opened ? "" : opened.error().text; }

    std::string folder;
    static constexpr const char* zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; // 32 octets
};

TEST_F(Sealing, OpensWhatItSealed)
{
    const SealingKey k = key();
    for (const std::string& text :
         {std::string("pa55"), std::string(), std::string("\0 \xFF", 3), std::string(100'000, 'p')}) {
        const SealedSecret sealed = k.seal(Secret(text), "users/12/password");
        EXPECT_EQ(k.open(sealed, "users/12/password").value().reveal(), text);
    }
}

TEST_F(Sealing, HidesTheSecretAndNeverSealsAlikeTwice)
{
    const SealingKey k = key();
    const std::string secret = "a password of some length";
    const SealedSecret first = k.seal(Secret(secret), "general/password");
    const SealedSecret second = k.seal(Secret(secret), "general/password");
    EXPECT_NE(first, second);
    EXPECT_EQ(std::ranges::search(first, std::string_view(secret)).begin(), first.end());
}

TEST_F(Sealing, IsBoundToThePlaceWhereTheSecretIsStored)
{
    const SealingKey k = key();
    const SealedSecret sealed = k.seal(Secret("pa55"), "users/12/password");
    for (const auto* const place :
         {"users/13/password", "general/password", "users/1/2/password", "", "users/12/password "})
        EXPECT_THAT(problem(k.open(sealed, place)), HasSubstr("moved from another place")) << place;
}

TEST_F(Sealing, RefusesWhatWasAlteredWhereverThatWas)
{
    const SealingKey k = key();
    const SealedSecret sealed = k.seal(Secret("pa55"), "general/password");
    for (std::size_t at = 0; at < sealed.size(); ++at) {
        SealedSecret altered = sealed;
        altered[at] ^= 1;
        EXPECT_FALSE(k.open(altered, "general/password")) << "octet " << at;
    }
    for (std::size_t size = 0; size < sealed.size(); ++size)
        EXPECT_FALSE(k.open(SealedSecret(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size)),
                            "general/password"))
            << size << " octets";
    SealedSecret longer = sealed;
    longer.push_back(0);
    EXPECT_FALSE(k.open(longer, "general/password"));
}

TEST_F(Sealing, NamesBothKeysWhereTheSecretNeedsAnother)
{
    const SealingKey old = key("old");
    const SealingKey fresh = key("fresh");
    ASSERT_NE(old.id(), fresh.id());
    const std::string text = problem(fresh.open(old.seal(Secret("pa55"), "general/password"), "general/password"));
    EXPECT_THAT(text, HasSubstr(old.id()));
    EXPECT_THAT(text, HasSubstr(fresh.id()));
    EXPECT_THAT(text, HasSubstr("general/password"));
}

TEST_F(Sealing, SaysWhereASecretIsTooShort)
{
    EXPECT_THAT(problem(key().open({}, "users/7/password")), HasSubstr("users/7/password is damaged: it is too short"));
}

TEST_F(Sealing, KnowsAKeyByAnIdThatStaysAndIsNotTheKey)
{
    const SealingKey made = key();
    const SealingKey loaded = Keyring::load(path("key")).value().newest();
    EXPECT_EQ(made.id(), loaded.id());
    EXPECT_THAT(made.id(), testing::MatchesRegex("[0-9a-f]{16}"));
    EXPECT_THAT(text_of(path("key")), testing::Not(HasSubstr(made.id())));
    EXPECT_EQ(loaded.open(made.seal(Secret("pa55"), "p"), "p").value().reveal(), "pa55");
}

// ---- The key file ----

TEST_F(Sealing, MakesAKeyFileThatOnlyItsOwnerReads)
{
    key();
    struct stat info {};
    ASSERT_EQ(::stat(path("key").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0400U);
    EXPECT_EQ(text_of(path("key")).size(), 45U); // base64 and a line end
}

TEST_F(Sealing, OverwritesNoKeyFile)
{
    key();
    const std::string before = text_of(path("key"));
    EXPECT_THAT(problem(Keyring::create(path("key"))), HasSubstr("exists already and is not overwritten"));
    EXPECT_EQ(text_of(path("key")), before);
}

TEST_F(Sealing, SaysWhyAKeyFileCannotBeMade)
{
    EXPECT_THAT(problem(Keyring::create(path("none/key"))), HasSubstr("No such file or directory"));
}

TEST_F(Sealing, ReadsAKeyFileWithOrWithoutItsLineEnd)
{
    for (const auto* const end : {"", "\n", "\r\n"})
        EXPECT_EQ(problem(Keyring::load(write(std::string(zeros) + end))), "");
}

TEST_F(Sealing, RefusesAKeyFileThatOthersMayReadOrWrite)
{
    for (const mode_t mode : {0404U, 0402U, 0401U, 0420U, 0444U, 0666U}) {
        const std::string text = problem(Keyring::load(write(zeros, mode)));
        EXPECT_THAT(text, HasSubstr("others")) << mode;
        EXPECT_THAT(text, HasSubstr("chmod 0400 " + path("by-hand"))) << mode;
    }
    for (const mode_t mode : {0400U, 0600U, 0440U}) // a group of its own is how a service reads it
        EXPECT_EQ(problem(Keyring::load(write(zeros, mode))), "") << mode;
}

TEST_F(Sealing, RefusesAKeyFileOfAnotherSize)
{
    for (const std::string& text :
         {std::string(), std::string("AAAA"), std::string(zeros).substr(1), std::string(zeros) + "AAAA",
          std::string(zeros) + "\nAAAA", std::string(zeros) + "\n\n" + zeros, std::string(zeros) + " " + zeros})
        EXPECT_THAT(problem(Keyring::load(write(text))), HasSubstr("32 octets as base64")) << text;
}

TEST_F(Sealing, RefusesAKeyFileThatIsNotBase64)
{
    std::string text = zeros;
    text[20] = '*';
    EXPECT_THAT(problem(Keyring::load(write(text))), HasSubstr("32 octets as base64"));
    // Too many octets for a key, and one too few.
    EXPECT_THAT(problem(Keyring::load(write(std::string(44, 'A')))), HasSubstr("32 octets as base64"));
    EXPECT_THAT(problem(Keyring::load(write(std::string(42, 'A') + "=="))), HasSubstr("32 octets as base64"));
}

TEST_F(Sealing, SaysHowToMakeAKeyFileThatIsMissing)
{
    const std::string text = problem(Keyring::load(path("none")));
    EXPECT_THAT(text, HasSubstr(path("none")));
    EXPECT_THAT(text, HasSubstr("No such file"));
    EXPECT_THAT(text, HasSubstr("new-key"));
}

// ---- Fingerprints ----

TEST_F(Sealing, GivesTheSameLoginTheSameFingerprint)
{
    const SealingKey k = key();
    const auto print = k.fingerprint("smtp.example.com", "anna", Secret("pa55"));
    EXPECT_EQ(print.size(), 32U);
    EXPECT_EQ(print, k.fingerprint("smtp.example.com", "anna", Secret("pa55")));
    EXPECT_EQ(print, k.fingerprint("SMTP.Example.COM", "anna", Secret("pa55"))); // host names ignore case
    EXPECT_EQ(print,
              Keyring::load(path("key")).value().newest().fingerprint("smtp.example.com", "anna", Secret("pa55")));
}

TEST_F(Sealing, GivesEveryOtherLoginAnotherFingerprint)
{
    const SealingKey k = key();
    const auto print = k.fingerprint("smtp.example.com", "anna", Secret("pa55"));
    EXPECT_NE(print, k.fingerprint("smtp2.example.com", "anna", Secret("pa55")));
    EXPECT_NE(print, k.fingerprint("smtp.example.com", "Anna", Secret("pa55"))); // logins are compared exactly
    EXPECT_NE(print, k.fingerprint("smtp.example.com", "anna", Secret("pa56")));
    EXPECT_NE(print, key("other").fingerprint("smtp.example.com", "anna", Secret("pa55")));
    // What stands on one side of a border is not what stands on the other.
    EXPECT_NE(k.fingerprint("a", "bc", Secret("d")), k.fingerprint("ab", "c", Secret("d")));
    EXPECT_NE(k.fingerprint("a", "b", Secret("cd")), k.fingerprint("a", "bc", Secret("d")));
}

TEST(PasswordPlace, IsDifferentForEveryOwner)
{
    EXPECT_EQ(password_place(Owner::general()), "general/password");
    EXPECT_EQ(password_place(Owner::user(12)), "users/12/password");
}

} // namespace
} // namespace mailroom::queue
