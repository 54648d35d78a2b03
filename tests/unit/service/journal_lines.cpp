#include "service/journal/lines.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::journal {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

const Header header{17, "3f2a9c1e-0000-4000-8000-000000000000", "a-database", "a-boot", true, "a-host", 4711, "0.1.0"};

queue::Claimed message(queue::MessageId id, std::int32_t lease_no)
{
    queue::Claimed claimed;
    claimed.id = id;
    claimed.lease_no = lease_no;
    claimed.dispatcher = header.dispatcher;
    claimed.uid = "uid-of-" + std::to_string(id);
    return claimed;
}

std::string ending_of(const queue::Claimed& claimed)
{
    queue::Ending ending;
    ending.id = claimed.id;
    ending.uid = claimed.uid;
    ending.lease_no = claimed.lease_no;
    ending.outcome = "sent";
    ending.attempt.reply = "250 2.0.0 taken\r\nsecond line";
    return queue::to_json(ending);
}

TEST(JournalLines, AreReadAsTheyWereWritten)
{
    const auto first = message(1, 3);
    const auto second = message(2, 1);
    const auto third = message(3, 1);
    queue::Suspension suspension;
    suspension.id = third.id;
    suspension.lease_no = third.lease_no;
    suspension.event = "deferred";
    const std::string text = line_of(header) + carried_line(third) + carried_line(first) + carried_line(second) +
                             begun_line(first, std::nullopt) + begun_line(second, milliseconds(900'000)) +
                             ended_line(ending_of(first)) + put_back_line(42, queue::to_json(suspension));
    const auto read = recollect(text);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->header.dispatcher, 17);
    EXPECT_EQ(read->header.token, header.token);
    EXPECT_EQ(read->header.database, "a-database");
    EXPECT_EQ(read->header.boot, "a-boot");
    EXPECT_TRUE(read->header.is_synced);
    EXPECT_EQ(read->unreadable, 0);
    ASSERT_EQ(read->messages.size(), 3);
    EXPECT_EQ(read->taken, (std::vector<Recollection::Lease>{{3, 1}, {1, 3}, {2, 1}}));
    const Remembered& ended = read->messages.at({1, 3});
    EXPECT_EQ(ended.uid, "uid-of-1");
    EXPECT_TRUE(ended.is_begun);
    EXPECT_EQ(ended.resend_after, std::nullopt);
    EXPECT_EQ(ended.outcome, Remembered::Outcome::ended);
    EXPECT_EQ(ended.json, ending_of(first));
    const Remembered& begun = read->messages.at({2, 1});
    EXPECT_TRUE(begun.is_begun);
    EXPECT_EQ(begun.resend_after, milliseconds(900'000));
    EXPECT_EQ(begun.outcome, Remembered::Outcome::none);
    const Remembered& put_back = read->messages.at({3, 1});
    EXPECT_FALSE(put_back.is_begun);
    EXPECT_EQ(put_back.outcome, Remembered::Outcome::put_back);
    EXPECT_EQ(put_back.settings_version, 42);
}

// The process died within a write, or the disk was full: what the line was about had not happened yet.
TEST(JournalLines, ALineWithoutAnEndIsNoLine)
{
    const auto claimed = message(1, 1);
    const std::string whole = line_of(header) + carried_line(claimed);
    const std::string begun = begun_line(claimed, milliseconds(0));
    for (std::size_t cut = 1; cut < begun.size(); ++cut) {
        const auto read = recollect(whole + begun.substr(0, cut));
        ASSERT_TRUE(read);
        EXPECT_EQ(read->unreadable, 1);
        EXPECT_FALSE(read->messages.at({1, 1}).is_begun);
    }
}

TEST(JournalLines, WhatStandsBehindATornLineIsRead)
{
    const auto claimed = message(1, 1);
    const auto read = recollect(line_of(header) + carried_line(claimed) + "b 1 1\n" + "\n" + begun_line(claimed, {}));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->unreadable, 1);
    EXPECT_TRUE(read->messages.at({1, 1}).is_begun);
}

TEST(JournalLines, AreRefusedWhereTheFileIsNoJournal)
{
    EXPECT_THAT(recollect("").error().text, HasSubstr("no journal"));
    EXPECT_THAT(recollect("hello\n").error().text, HasSubstr("no journal"));
    EXPECT_THAT(recollect("mailroom-journal 2 {}\n").error().text, HasSubstr("another version"));
    EXPECT_THAT(recollect("mailroom-journal 1 {\n").error().text, HasSubstr("first line"));
    EXPECT_THAT(recollect("mailroom-journal 1 {}\n").error().text, HasSubstr("whose"));
    EXPECT_THAT(recollect(line_of(header).substr(0, 40)).error().text, HasSubstr("no journal"));
}

} // namespace
} // namespace mailroom::journal
