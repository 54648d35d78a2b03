#include "service/log/sink.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace mailroom::log {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

// The line's text alone.
std::string bare(const Line& line)
{
    return std::string(line.id) + "\n";
}

// What was written, and how many more lines wait when asked.
struct World {
    std::vector<std::string> written;
    bool full = false;
    std::size_t waiting = 0;

    Sink sink(std::size_t batch)
    {
        const auto write = [this](std::string& lines) -> Result<void> {
            if (full)
                return Error{"the log file x: No space left on device"};
            written.push_back(lines);
            return {};
        };
        return {{write, bare, batch, false}, [this] { return waiting > 0; }};
    }
};

void say(Sink& sink, const std::string& line, spdlog::level::level_enum level = spdlog::level::info)
{
    sink.log({"mailroom", level, line});
}

TEST(LogSink, GathersLinesAsLongAsMoreAreAtHand)
{
    World world;
    Sink sink = world.sink(1000);
    world.waiting = 1;
    say(sink, "a\n");
    say(sink, "b\n");
    EXPECT_THAT(world.written, IsEmpty());
    world.waiting = 0;
    say(sink, "c\n");
    EXPECT_THAT(world.written, ElementsAre("a\nb\nc\n"));
}

TEST(LogSink, WritesAFullBatchAndAWarningAtOnce)
{
    World world;
    Sink sink = world.sink(3);
    world.waiting = 1;
    say(sink, "a\n");
    say(sink, "b\n");
    say(sink, "c\n");
    say(sink, "!\n", spdlog::level::warn);
    EXPECT_THAT(world.written, ElementsAre("a\nb\n", "c\n!\n"));
}

TEST(LogSink, WritesEachLineByItselfWithoutABatch)
{
    World world;
    Sink sink = world.sink(0);
    world.waiting = 1;
    say(sink, "a\n");
    say(sink, "b\n");
    EXPECT_THAT(world.written, ElementsAre("a\n", "b\n"));
}

TEST(LogSink, WritesTheRestWhenItIsFlushed)
{
    World world;
    Sink sink = world.sink(1000);
    world.waiting = 1;
    say(sink, "a\n");
    sink.flush();
    sink.flush();
    EXPECT_THAT(world.written, ElementsAre("a\n"));
}

TEST(LogSink, TellsOnceThatItCannotBeWrittenAndOnceThatItCanAgain)
{
    World world;
    Sink sink = world.sink(1000);
    world.full = true;
    CaptureStderr();
    say(sink, "a\n");
    say(sink, "b\n");
    const std::string failed = GetCapturedStderr();
    EXPECT_THAT(failed, HasSubstr(" error log_failed: the log file x: No space left on device; mail goes on"));
    EXPECT_EQ(std::ranges::count(failed, '\n'), 1);

    world.full = false;
    CaptureStderr();
    say(sink, "c\n");
    say(sink, "d\n");
    const std::string resumed = GetCapturedStderr();
    EXPECT_THAT(resumed,
                HasSubstr(" warning log_resumed: the log can be written again, 2 lines before this one are lost"));
    EXPECT_EQ(std::ranges::count(resumed, '\n'), 1);
    EXPECT_THAT(world.written, ElementsAre("c\n", "log_resumed\n", "d\n"));
}

} // namespace
} // namespace mailroom::log
