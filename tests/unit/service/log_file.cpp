#include "service/log/file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace mailroom::log {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class LogFile : public testing::Test {
protected:
    LogFile() { fs::create_directory(folder_); }
    ~LogFile() override
    {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;

    std::string path() const { return folder_ / "mailroom.log"; }
    File opened(std::uint64_t max_size, int keep = 2) const { return File::open(path(), max_size, keep).value(); }
    std::string content(const std::string& suffix = "") const
    {
        std::ostringstream text;
        text << std::ifstream(path() + suffix).rdbuf();
        return text.str();
    }

private:
    fs::path folder_ = fs::temp_directory_path() / ("mailroom-log-" + std::to_string(::getpid()));
};

TEST_F(LogFile, AppendsToWhatIsThere)
{
    opened(0).write("one\n").value();
    opened(0).write("two\n").value();
    EXPECT_EQ(content(), "one\ntwo\n");
}

TEST_F(LogFile, IsNotReadableByOthers)
{
    const File file = opened(0);
    EXPECT_EQ(fs::status(path()).permissions() & fs::perms::others_all, fs::perms::none);
}

TEST_F(LogFile, BeginsTheNextFileRatherThanExceedItsSize)
{
    File file = opened(10);
    for (const char* line : {"12345678\n", "b\n", "c\n", "d2345678\n", "e2345678\n"})
        file.write(line).value();
    EXPECT_EQ(content(), "e2345678\n");
    EXPECT_EQ(content(".1"), "d2345678\n");
    EXPECT_EQ(content(".2"), "b\nc\n");
    EXPECT_FALSE(fs::exists(path() + ".3")); // the oldest is gone
}

TEST_F(LogFile, CountsWhatStoodInItBefore)
{
    opened(10).write("12345678\n").value();
    opened(10).write("b\n").value();
    EXPECT_EQ(content(".1"), "12345678\n");
    EXPECT_EQ(content(), "b\n");
}

TEST_F(LogFile, TakesABatchThatIsLargerThanItsSizeAsOne)
{
    File file = opened(4);
    file.write("123456789\n").value();
    file.write("b\n").value();
    EXPECT_EQ(content(".1"), "123456789\n");
    EXPECT_EQ(content(), "b\n");
}

TEST_F(LogFile, NeverRotatesWithoutASize)
{
    File file = opened(0);
    for (int i = 0; i < 100; ++i)
        file.write("a line\n").value();
    EXPECT_FALSE(fs::exists(path() + ".1"));
    EXPECT_EQ(content().size(), 700U);
}

TEST_F(LogFile, GoesOnInItsFileWhenThatCannotBeRenamed)
{
    for (const char* suffix : {".1/full", ".2/full"}) // in its way
        fs::create_directories(path() + suffix);
    File file = opened(4);
    file.write("one\n").value();
    file.write("two\n").value();
    EXPECT_EQ(content(), "one\ntwo\n");
}

TEST_F(LogFile, BeginsAnewWhereItWasLetGoWhateverWasRenamedSince)
{
    File before = opened(4);
    before.write("one\n").value();
    File file = opened(100);
    file.let_go();
    before.write("two\n").value(); // in the next file
    file.write("three\n").value();
    EXPECT_EQ(content(), "two\nthree\n");
}

TEST_F(LogFile, IsNamedWhenItCannotBeOpened)
{
    const auto file = File::open("/nonexistent/mailroom.log", 0, 1);
    EXPECT_EQ(file.error().text, "the log file /nonexistent/mailroom.log: No such file or directory");
}

TEST(FullDisk, IsTold)
{
    if (!fs::exists("/dev/full"))
        GTEST_SKIP() << "there is no /dev/full";
    File file = File::open("/dev/full", 0, 1).value();
    EXPECT_EQ(file.write("one\n").error().text, "the log file /dev/full: No space left on device");
}

} // namespace
} // namespace mailroom::log
