#include "config/reload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using namespace std::chrono_literals;

ServiceFile running()
{
    ServiceFile file;
    file.installation = {"production", "mail.example.com"};
    file.database.connection = "dbname=erp";
    return file;
}

TEST(Reload, OfAnUnchangedFileChangesNothing)
{
    const Reload result = reload(running(), running());
    EXPECT_THAT(result.taken_over, IsEmpty());
    EXPECT_THAT(result.after_restart, IsEmpty());
}

TEST(Reload, TakesOverWhatMayChangeAndNamesIt)
{
    ServiceFile read = running();
    read.log.level = LogLevel::debug;
    read.smtp.idle = 3s;
    const Reload result = reload(running(), read);
    EXPECT_THAT(result.taken_over, ElementsAre("[smtp] idle", "[log] level"));
    EXPECT_THAT(result.after_restart, IsEmpty());
    EXPECT_EQ(result.file.log.level, LogLevel::debug);
    EXPECT_EQ(result.file.smtp.idle, 3s);
}

TEST(Reload, KeepsWhatNeedsARestartAsItWasAndNamesItEachTime)
{
    ServiceFile read = running();
    read.database.connection = "dbname=other";
    read.dispatcher.lease = 1min;
    read.dispatcher.poll = 2s;
    const Reload first = reload(running(), read);
    EXPECT_THAT(first.after_restart, ElementsAre("[database] connection", "[dispatcher] lease"));
    EXPECT_EQ(first.file.database.connection, "dbname=erp");
    EXPECT_EQ(first.file.dispatcher.lease, running().dispatcher.lease);
    EXPECT_EQ(first.file.dispatcher.poll, 2s);
    const Reload second = reload(first.file, read);
    EXPECT_THAT(second.taken_over, IsEmpty());
    EXPECT_THAT(second.after_restart, ElementsAre("[database] connection", "[dispatcher] lease"));
}

} // namespace
} // namespace mailroom
