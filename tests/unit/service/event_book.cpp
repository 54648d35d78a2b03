#include "service/event_book.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mailroom {
namespace {

using rules::EventKind;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;
using News = EventBook::News;

constexpr auto seen = EventKind::vacuum_pinned;    // by this dispatcher
constexpr auto stored = EventKind::account_paused; // follows from the database
constexpr auto happens = EventKind::dispatcher_died;

class EventBookTest : public testing::Test {
protected:
    News raise(EventKind kind, const std::string& subject, const std::string& text = "text")
    {
        return book.raise({kind, subject, text, {}}, now);
    }
    bool end(EventKind kind, const std::string& subject) { return book.end(kind, subject, now).has_value(); }
    queue::EventChanges due() { return book.due(now); }

    // What the database is told, which takes it.
    queue::EventChanges write()
    {
        auto changes = book.due(now);
        book.written(now);
        return changes;
    }

    EventBook book;
    EventBook::Clock::time_point now = EventBook::Clock::time_point() + std::chrono::hours(5);
};

auto subjects(const std::vector<queue::RaisedEvent>& events)
{
    std::vector<std::string> found;
    for (const auto& event : events)
        found.push_back(event.subject);
    return found;
}

TEST_F(EventBookTest, WhatGoesOnIsNewsOnceAndWrittenOnce)
{
    EXPECT_EQ(raise(seen, "a"), News::yes);
    EXPECT_EQ(raise(seen, "a"), News::no);
    EXPECT_THAT(write().raised, ElementsAre(Field(&queue::RaisedEvent::subject, "a")));
    EXPECT_EQ(raise(seen, "a", "another text"), News::no);
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, WhatGoesOnIsWrittenAgainEveryFewMinutesWithItsNewestText)
{
    raise(seen, "a");
    write();
    raise(seen, "a", "newer");
    now += minutes(4);
    EXPECT_TRUE(due().empty());
    now += minutes(1);
    EXPECT_THAT(write().raised, ElementsAre(Field(&queue::RaisedEvent::text, "newer")));
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, AnEndIsNewsOnceAndOnlyOfWhatWasKnown)
{
    EXPECT_FALSE(end(seen, "a"));
    raise(seen, "a");
    write();
    EXPECT_TRUE(end(seen, "a"));
    EXPECT_FALSE(end(seen, "a"));
    EXPECT_FALSE(end(seen, "b"));
    const auto changes = write();
    EXPECT_THAT(changes.ended, ElementsAre(Field(&queue::EndedEvent::subject, "a")));
    EXPECT_THAT(changes.raised, IsEmpty());
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, WhatCouldNotBeWrittenIsKeptWithItsTimes)
{
    raise(seen, "a");
    for (int i = 0; i < 3; ++i) {
        now += seconds(10);
        EXPECT_THAT(due().raised, SizeIs(1));
        book.not_written();
    }
    end(seen, "a");
    now += seconds(5);
    const auto changes = write();
    EXPECT_THAT(changes.ended, IsEmpty()) << "nobody was told that it began";
    ASSERT_THAT(changes.raised, SizeIs(1));
    EXPECT_EQ(changes.raised[0].began, seconds(35));
    EXPECT_EQ(changes.raised[0].ended, seconds(5));
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, WhatComesBackBeforeItsEndIsWrittenIsAnotherTime)
{
    raise(seen, "a");
    write();
    end(seen, "a");
    EXPECT_EQ(raise(seen, "a"), News::yes);
    const auto changes = write();
    EXPECT_THAT(changes.ended, SizeIs(1));
    EXPECT_THAT(changes.raised, SizeIs(1));
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, WhatEndsWhileItIsWrittenEndsInTheDatabaseToo)
{
    raise(seen, "a");
    EXPECT_THAT(due().raised, SizeIs(1));
    end(seen, "a");
    book.written(now);
    EXPECT_THAT(write().ended, SizeIs(1));
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, WhatComesBackWhileItsEndIsWrittenIsToldAgain)
{
    raise(seen, "a");
    write();
    end(seen, "a");
    EXPECT_THAT(due().ended, SizeIs(1));
    raise(seen, "a");
    book.written(now);
    EXPECT_THAT(write().raised, SizeIs(1));
    EXPECT_TRUE(write().empty());
}

TEST_F(EventBookTest, AnEndThatCouldNotBeWrittenIsWrittenLater)
{
    raise(seen, "a");
    write();
    end(seen, "a");
    EXPECT_THAT(due().ended, SizeIs(1));
    book.not_written();
    now += seconds(30);
    EXPECT_THAT(write().ended, ElementsAre(Field(&queue::EndedEvent::ended, seconds(30))));
}

TEST_F(EventBookTest, WhatHappensIsNewsEachTimeAndNeedsNoEnd)
{
    EXPECT_EQ(raise(happens, "a"), News::yes);
    EXPECT_EQ(raise(happens, "a"), News::yes);
    const auto changes = write();
    ASSERT_THAT(changes.raised, SizeIs(1));
    EXPECT_EQ(changes.raised[0].lasts, std::chrono::hours(24));
    now += minutes(10);
    EXPECT_TRUE(write().empty()) << "nobody says that it goes on";
    EXPECT_EQ(raise(happens, "a"), News::yes);
    EXPECT_THAT(write().raised, SizeIs(1));
}

TEST_F(EventBookTest, OfAKindTheseAndNoOthersAreOpen)
{
    book.only(stored, {{stored, "a", "text", {}}, {stored, "b", "text", {}}}, now);
    auto changes = write();
    EXPECT_THAT(subjects(changes.raised), ElementsAre("a", "b"));
    ASSERT_THAT(changes.only, SizeIs(1)) << "others may have been told before this process began";
    EXPECT_THAT(changes.only[0].subjects, ElementsAre("a", "b"));

    book.only(stored, {{stored, "b", "text", {}}, {stored, "c", "text", {}}}, now);
    changes = write();
    EXPECT_THAT(subjects(changes.raised), ElementsAre("c"));
    EXPECT_THAT(changes.ended, ElementsAre(Field(&queue::EndedEvent::subject, "a")));
    EXPECT_THAT(changes.only, IsEmpty());
}

TEST_F(EventBookTest, ThatThereAreNoneIsSaidOnceAndThenEveryFewMinutes)
{
    for (int i = 0; i < 10; ++i) {
        book.only(stored, {}, now);
        const auto changes = write();
        EXPECT_EQ(changes.only.size(), i % 5 == 0 ? 1U : 0U);
        now += minutes(1);
    }
}

TEST_F(EventBookTest, UnderAnotherNameADispatcherTellsAgainWhatItSees)
{
    raise(seen, "a");
    raise(stored, "b");
    raise(seen, "over");
    write();
    end(seen, "over");
    book.told_nothing();
    const auto changes = write();
    EXPECT_THAT(subjects(changes.raised), ElementsAre("a"));
    EXPECT_THAT(changes.ended, IsEmpty()) << "who took the other name off the list ended it";
}

TEST_F(EventBookTest, ThereIsALimitToWhatIsKept)
{
    for (std::size_t i = 0; i < EventBook::max_subjects; ++i)
        ASSERT_EQ(raise(seen, std::to_string(i)), News::yes);
    EXPECT_EQ(raise(seen, "beyond"), News::full);
    for (int message = 0; message < 3; ++message)
        EXPECT_EQ(raise(seen, "beyond"), News::no) << "no line for each message";
    EXPECT_EQ(book.only(stored, {{stored, "also beyond", "text", {}}}, now), News::no) << "that it is full was told";
    std::size_t written = 0;
    for (auto changes = write(); !changes.empty(); changes = write()) {
        EXPECT_LE(changes.raised.size(), 200U);
        written += changes.raised.size();
    }
    EXPECT_EQ(written, EventBook::max_subjects);
    end(seen, "0");
    write();
    EXPECT_EQ(raise(seen, "beyond"), News::yes) << "there is room again";
    EXPECT_EQ(raise(seen, "0"), News::full);
}

TEST_F(EventBookTest, TheKindSaysTheRemedyWhereTheEventDoesNot)
{
    raise(EventKind::no_key, {});
    book.raise({seen, "a", "text", "end it"}, now);
    const auto changes = write();
    ASSERT_THAT(changes.raised, SizeIs(2));
    EXPECT_EQ(changes.raised[0].remedy, rules::facts_of(EventKind::no_key).remedy);
    EXPECT_EQ(changes.raised[1].remedy, "end it");
}

} // namespace
} // namespace mailroom
