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

using testing::ElementsAre;
using testing::HasSubstr;

class Keys : public testing::Test {
protected:
    Keys()
    {
        std::string name = std::filesystem::temp_directory_path() / "mailroom-test-XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~Keys() override { std::filesystem::remove_all(folder); }

    std::string path() const { return folder + "/key"; }
    Keyring made() const { return Keyring::create(path()).value(); }
    Keyring loaded() const { return Keyring::load(path()).value(); }
    static std::string problem(const Result<void>& done) { return done ? "" : done.error().text; }

    std::string folder;
};

TEST_F(Keys, AreAddedBehindTheOlderOnes)
{
    Keyring ring = made();
    const std::string first = ring.newest().id();
    ASSERT_EQ(problem(ring.add_key(path())), "");
    EXPECT_NE(ring.newest().id(), first);
    EXPECT_THAT(ring.ids(), ElementsAre(first, ring.newest().id()));
    EXPECT_EQ(loaded().ids(), ring.ids());
}

TEST_F(Keys, OpenWhatEachOfThemSealed)
{
    Keyring ring = made();
    const SealedSecret older = ring.newest().seal(Secret("pa55"), "general/password");
    ASSERT_TRUE(ring.add_key(path()));
    const SealedSecret newer = ring.newest().seal(Secret("word"), "general/password");
    EXPECT_EQ(loaded().open(older, "general/password").value().reveal(), "pa55");
    EXPECT_EQ(loaded().open(newer, "general/password").value().reveal(), "word");
    EXPECT_EQ(key_of(newer), ring.newest().id());
    EXPECT_NE(key_of(older), key_of(newer));
}

TEST_F(Keys, MakeTheFingerprintOfTheKeyThatSealedThePassword)
{
    Keyring ring = made();
    const Keyring alone = ring;
    const Secret password("pa55");
    const SealedSecret sealed = ring.newest().seal(password, "general/password");
    const auto before = ring.fingerprint(sealed, "smtp.example.com", "anna", password);
    ASSERT_TRUE(ring.add_key(path()));
    EXPECT_EQ(ring.fingerprint(sealed, "smtp.example.com", "anna", password), before);
    EXPECT_EQ(alone.fingerprint(sealed, "smtp.example.com", "anna", password), before);
    const SealedSecret again = ring.newest().seal(password, "general/password");
    EXPECT_NE(ring.fingerprint(again, "smtp.example.com", "anna", password), before);
}

TEST_F(Keys, AreDroppedButForTheLast)
{
    Keyring ring = made();
    const std::string first = ring.newest().id();
    EXPECT_THAT(problem(ring.drop_key(path(), first)), HasSubstr("its only key"));
    ASSERT_TRUE(ring.add_key(path()));
    const std::string second = ring.newest().id();
    EXPECT_THAT(problem(ring.drop_key(path(), "0123456789abcdef")), HasSubstr("holds no key 0123456789abcdef"));
    EXPECT_EQ(problem(ring.drop_key(path(), first)), "");
    EXPECT_THAT(ring.ids(), ElementsAre(second));
    EXPECT_THAT(loaded().ids(), ElementsAre(second));
    EXPECT_EQ(ring.find(first), nullptr);
}

TEST_F(Keys, KeepTheModeOfTheirFile)
{
    Keyring ring = made();
    ::chmod(path().c_str(), 0440);
    ASSERT_TRUE(ring.add_key(path()));
    struct stat info {};
    ASSERT_EQ(::stat(path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0440U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1); // nothing is left of the writing
}

TEST_F(Keys, StayAsTheyWereWhereTheirFileCannotBeReplaced)
{
    Keyring ring = made();
    const auto before = ring.ids();
    EXPECT_THAT(problem(ring.add_key(folder + "/none/key")), HasSubstr("No such file or directory"));
    EXPECT_EQ(ring.ids(), before);
    EXPECT_EQ(loaded().ids(), before);
}

TEST_F(Keys, AreSixteenAtMost)
{
    Keyring ring = made();
    while (ring.ids().size() < Keyring::most_keys)
        ASSERT_EQ(problem(ring.add_key(path())), "");
    EXPECT_THAT(problem(ring.add_key(path())), HasSubstr("holds 16 keys already"));
    EXPECT_EQ(loaded().ids().size(), 16U);
    ::chmod(path().c_str(), 0600);
    std::ofstream(path(), std::ios::app) << std::string(42, 'A') + "A=\n";
    const auto crowded = Keyring::load(path());
    ASSERT_FALSE(crowded);
    EXPECT_THAT(crowded.error().text, HasSubstr("more than 16 keys"));
}

TEST_F(Keys, CountOnceHoweverOftenTheirFileNamesThem)
{
    const Keyring ring = made();
    std::ifstream file(path());
    const std::string line(std::istreambuf_iterator<char>(file), {});
    ::chmod(path().c_str(), 0600);
    std::ofstream(path()) << line << line;
    EXPECT_EQ(loaded().ids(), ring.ids());
}

} // namespace
} // namespace mailroom::queue
