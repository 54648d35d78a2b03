#include "service/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace mailroom::log {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

class Log : public testing::Test {
protected:
    Log() { fs::create_directory(folder_); }
    ~Log() override
    {
        close();
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    std::string path(const std::string& name = "mailroom.log") const { return folder_ / name; }
    ServiceFile::Log to_file(LogLevel level = LogLevel::info) const
    {
        ServiceFile::Log settings;
        settings.level = level;
        settings.target = LogTarget::file;
        settings.file = path();
        settings.max_size = 0;
        return settings;
    }
    std::string content(const std::string& name = "mailroom.log") const
    {
        std::ostringstream text;
        text << std::ifstream(path(name)).rdbuf();
        return text.str();
    }
    static auto threads() // of this process
    {
        return std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
    }

private:
    fs::path folder_ = fs::temp_directory_path() / ("mailroom-log-as-a-whole-" + std::to_string(::getpid()));
};

std::size_t count(const std::string& text, const std::string& part)
{
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
        ++found;
    return found;
}

TEST_F(Log, HasEachLineOnceItIsClosed)
{
    open(to_file()).value();
    for (int i = 0; i < 1000; ++i)
        info("some_line", "number {}", i);
    close();
    EXPECT_EQ(count(content(), " info some_line: number "), 1000U);
    EXPECT_THAT(content(), EndsWith("number 999\n"));
}

TEST_F(Log, HasNothingBelowItsLevel)
{
    open(to_file(LogLevel::warning)).value();
    EXPECT_FALSE(enabled(LogLevel::info));
    info("some_line", "one");
    warning("another", "two");
    close();
    EXPECT_THAT(content(), AllOf(Not(HasSubstr("some_line")), HasSubstr(" warning another: two\n")));
}

TEST_F(Log, OpenedAgainTakesItsNewLevelAndTheFileThatIsThereNow)
{
    open(to_file()).value();
    info("some_line", "one");
    fs::rename(path(), path("moved"));
    info("some_line", "two");
    open(to_file(LogLevel::debug)).value();
    debug("some_line", "three");
    close();
    EXPECT_THAT(content("moved"), AllOf(HasSubstr("one\n"), HasSubstr("two\n")));
    EXPECT_THAT(content(), AllOf(HasSubstr("debug some_line: three\n"), Not(HasSubstr("two"))));
}

TEST_F(Log, GoesOnAsItWasWhenItCannotBeOpenedAgain)
{
    open(to_file()).value();
    ServiceFile::Log wrong = to_file(LogLevel::debug);
    wrong.file = "/nonexistent/mailroom.log";
    EXPECT_THAT(open(wrong).error().text, HasSubstr("/nonexistent/mailroom.log"));
    EXPECT_FALSE(enabled(LogLevel::debug));
    info("some_line", "one");
    close();
    EXPECT_THAT(content(), HasSubstr("one\n"));
}

// A pipe that nobody reads is a disk that does not answer.
TEST_F(Log, DropsAndCountsLinesOfInfoRatherThanWaitAndNeverAWarning)
{
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
    const int reader = ::open(path().c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(reader, 0);
    open(to_file()).value();
    constexpr std::size_t lines = 20'000; // more than the pipe and the queue hold
    for (std::size_t i = 0; i < lines; ++i)
        info("some_line", "{}", std::string(100, 'x'));
    warning("another", "there is room for it");

    std::string read;
    std::thread reading([&] {
        std::array<char, 65'536> part{};
        while (!read.ends_with("the last\n")) {
            const auto size = ::read(reader, part.data(), part.size());
            ASSERT_GT(size, 0);
            read.append(part.data(), static_cast<std::size_t>(size));
        }
    });
    for (int i = 0; i < 10'000; ++i)
        warning("many", "{}", i); // these wait for the reader
    close();
    open(to_file()).value();
    info("some_line", "the last");
    close();
    reading.join();
    ::close(reader);

    EXPECT_EQ(count(read, " warning another: "), 1U);
    EXPECT_EQ(count(read, " warning many: "), 10'000U);
    std::smatch dropped;
    ASSERT_TRUE(std::regex_search(read, dropped, std::regex(" warning log_dropped: ([0-9]+) lines were dropped")));
    EXPECT_GT(std::stoul(dropped[1]), 0U);
    EXPECT_EQ(count(read, std::string(100, 'x') + "\n") + std::stoul(dropped[1]), lines);
}

TEST_F(Log, LetsMailGoOnWhereNothingTakesItsLines)
{
    ASSERT_EQ(::mkfifo(path().c_str(), 0600), 0);
    const int reader = ::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ASSERT_GE(reader, 0);
    std::thread([] {}).join(); // with the first one the thread sanitizer starts its own
    const auto threads_before = threads();
    open(to_file()).value();
    constexpr std::size_t lines = 10'000; // more than the pipe and the queue hold
    for (std::size_t i = 0; i < lines; ++i)
        warning("many", "{}", std::string(100, 'x')); // nobody reads, now or later

    ServiceFile::Log elsewhere = to_file();
    elsewhere.file = path("elsewhere.log");
    open(elsewhere).value();
    info("some_line", "one");
    close();
    std::signal(SIGPIPE, SIG_IGN); // as the daemon does
    ::close(reader);               // ends the thread that waits
    for (int tries = 0; threads() > threads_before && tries < 1000; ++tries)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(threads(), threads_before);
    EXPECT_THAT(content("elsewhere.log"),
                AllOf(HasSubstr(" warning log_stuck: "), HasSubstr(" info some_line: one\n")));
    EXPECT_TRUE(std::regex_search(content("elsewhere.log"), std::regex(" log_dropped: [1-9][0-9]* lines")));
}

TEST_F(Log, HasItsLastWordsWhenAThreadThatItIsNotForBreaks)
{
    const auto break_down = [this] {
        open(to_file()).value();
        info("some_line", "last words");
        std::thread([] { std::terminate(); }).join();
    };
    EXPECT_DEATH(break_down(), "");
    EXPECT_THAT(content(), HasSubstr("last words\n"));
}

TEST_F(Log, HasItsLastWordsWhenTheProgramBreaks)
{
    const auto break_down = [this] {
        open(to_file()).value();
        info("some_line", "last words");
        std::terminate();
    };
    EXPECT_DEATH(break_down(), "");
    EXPECT_THAT(content(), HasSubstr("last words\n"));
}

TEST_F(Log, SaysWhetherSubjectsMayBeLogged)
{
    ServiceFile::Log settings = to_file();
    open(settings).value();
    EXPECT_FALSE(has_subjects());
    settings.subjects = true;
    open(settings).value();
    EXPECT_TRUE(has_subjects());
}

} // namespace
} // namespace mailroom::log
