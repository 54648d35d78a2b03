#include "service/host/locked_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mailroom::host {
namespace {

namespace fs = std::filesystem;

class LockedFiles : public testing::Test {
protected:
    LockedFiles() { EXPECT_FALSE(make_private_folder(folder_)); }
    ~LockedFiles() override
    {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    LockedFiles(const LockedFiles&) = delete;
    LockedFiles& operator=(const LockedFiles&) = delete;

    std::string path() const { return folder_ / "a.journal"; }
    fs::path folder_ = fs::temp_directory_path() / ("mailroom-locked-" + std::to_string(::getpid()));
};

TEST_F(LockedFiles, AreForThisUserAlone)
{
    auto file = LockedFile::create(path(), "first\n");
    ASSERT_TRUE(file);
    EXPECT_EQ(fs::status(path()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
}

TEST_F(LockedFiles, AreNobodyElsesWhileTheirOwnerHasThem)
{
    {
        auto file = LockedFile::create(path(), "first\n");
        ASSERT_TRUE(file);
        EXPECT_EQ(LockedFile::take(path()).error(), std::errc::resource_unavailable_try_again);
    }
    EXPECT_TRUE(LockedFile::take(path()));
}

TEST_F(LockedFiles, AreFreeWhenTheirOwnerIsKilled)
{
    const pid_t child = ::fork();
    if (child == 0) {
        auto file = LockedFile::create(path(), "first\n");
        static_cast<void>(file->append("second\n"));
        static_cast<void>(::kill(::getpid(), SIGKILL));
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    auto file = LockedFile::take(path());
    ASSERT_TRUE(file);
    EXPECT_EQ(file->read_all().value(), "first\nsecond\n");
}

TEST_F(LockedFiles, SetApartWhatAnErrorLeft)
{
    auto file = LockedFile::create(path(), "first\n");
    ASSERT_TRUE(file);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{10, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_TRUE(file->append("second line\n")); // an error
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    static_cast<void>(std::signal(SIGXFSZ, handler));
    EXPECT_FALSE(file->append("third\n"));
    EXPECT_EQ(file->read_all().value(), "first\nseco\nthird\n");
}

} // namespace
} // namespace mailroom::host
