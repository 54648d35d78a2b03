// What may happen while the content is written, and after its dot.
#include "tests/unit/smtp/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST_F(Session, IsInDoubtWhenTheServerClosesInsteadOfAnswering)
{
    start_peer({opened() + envelope_taken + Script{ReadContent{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::in_doubt);
    EXPECT_EQ(delivery.outcome.stage, Stage::final_dot);
    EXPECT_FALSE(connection->reusable());
    EXPECT_FALSE(connection->is_alive());
}

TEST_F(Session, IsInDoubtWhenTheServerNeverAnswersTheDot)
{
    options.timeouts.final_dot = 5ms;
    start_peer({opened() + envelope_taken + Script{ReadContent{}, AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::in_doubt);
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
}

TEST_F(Session, IsInDoubtAfterGarbageBehindTheDot)
{
    start_peer({opened() + envelope_taken + Script{ReadContent{}, Say{"all right\r\n"}, AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::in_doubt);
    EXPECT_EQ(delivery.outcome.cause, Cause::protocol_error);
}

TEST_F(Session, TriesAgainAfterALossBeforeTheContent)
{
    start_peer({opened() + Script{Expect{"MAIL"}, Say{"250 ok\r\n"}, Expect{"RCPT"}, Break{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::connection_lost);
    EXPECT_EQ(delivery.outcome.stage, Stage::rcpt_to);
}

class EarlyEnd : public Session, public testing::WithParamInterface<Security> {
protected:
    void start(const Script& in_content)
    {
        const Certificate certificate = make_certificate("127.0.0.1");
        trust(certificate);
        server.security = GetParam();
        const Script begin = GetParam() == Security::none ? no_steps : Script{StartTls{}};
        start_peer({begin + opened() + envelope_taken + in_content}, certificate);
    }
};

TEST_P(EarlyEnd, OfTheContentIsHeardThoughTheServerReadsNoMore)
{
    // Would hang for ever if writing did not end: the server neither reads nor closes.
    bool stalled = false;
    start({Then{[&] { stalled = true; }}, Stall{}, Say{"552 5.3.4 too big\r\n"}, Stall{}});
    Pieces content({large_text()});
    options.timeouts.content = 1h;
    bool done = false;
    asio::co_spawn(io, do_open_and_submit(content), [&](std::exception_ptr) { done = true; });
    while (!stalled)
        step();
    settle();
    EXPECT_FALSE(done) << "writing does not wait for the server";
    peer->release();
    while (!done)
        step();
    EXPECT_EQ(delivery.outcome.verdict, Verdict::give_up);
    EXPECT_EQ(delivery.outcome.cause, Cause::too_large);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
    EXPECT_FALSE(connection->reusable());
}

TEST_P(EarlyEnd, OfTheContentIsHeardBetweenItsPieces)
{
    start({ReadOctets{1000}, Say{"552 5.3.4 too big\r\n"}, Stall{}});
    Pieces content({large_text()});
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.cause, Cause::too_large);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
}

TEST_P(EarlyEnd, BySilenceIsTriedAgain)
{
    options.timeouts.content = 20ms;
    start({ReadOctets{1000}, Stall{}});
    Pieces content({large_text()});
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
}

TEST_P(EarlyEnd, ByALostLinkIsTriedAgain)
{
    start({ReadOctets{1000}, Break{}});
    Pieces content({large_text()});
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::connection_lost);
    EXPECT_EQ(delivery.outcome.stage, Stage::content);
}

INSTANTIATE_TEST_SUITE_P(Links, EarlyEnd, testing::Values(Security::none, Security::implicit_tls),
                         [](const auto& link) {
                             return std::string(link.param == Security::none ? "InClear" : "OverTls");
                         });

// The last piece, with the dot, does not fit into the buffers of the sockets, because the peer does not read.
class BlockedAtTheDot : public Session {
protected:
    void block(std::size_t pieces)
    {
        std::string piece;
        while (piece.size() + 78 <= 64U * 1024)
            piece.append(76, 'x').append("\r\n");
        stalled = done = committing = false;
        before_commit = [this] { committing = true; };
        start_peer({opened() + envelope_taken + Script{Then{[this] { stalled = true; }}, Stall{}, Break{}}});
        content.emplace(std::vector<std::string>(pieces, piece));
        asio::co_spawn(io, do_open_and_submit(*content), [this](std::exception_ptr) { done = true; });
        while (!stalled)
            step();
        settle();
    }

    // How much the buffers hold is the system's affair: tries sizes until the last write is the one that is caught.
    bool end_within_the_last_write(const std::function<void()>& end)
    {
        block(1024);
        const std::size_t fitting = content->taken();
        for (std::size_t pieces = fitting - std::min<std::size_t>(fitting - 1, 8); pieces < fitting + 64; ++pieces) {
            block_again(pieces);
            end();
            while (!done)
                step();
            if (committing && delivery.outcome.stage == Stage::content)
                return true;
            EXPECT_EQ(delivery.outcome.verdict, committing ? Verdict::in_doubt : Verdict::try_again);
        }
        return false;
    }

    void block_again(std::size_t pieces)
    {
        if (!done) {
            connection->abort();
            while (!done)
                step();
        }
        block(pieces);
    }

    std::optional<Pieces> content;
    bool stalled = false;
    bool done = false;
    bool committing = false;
};

TEST_F(BlockedAtTheDot, IsTriedAgainWhenTheServerBreaksOffBecauseTheDotCannotHaveLeft)
{
    ASSERT_TRUE(end_within_the_last_write([this] { peer->release(); }));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::connection_lost);
}

TEST_F(BlockedAtTheDot, IsInDoubtWhenWeCutTheLinkOurselves)
{
    ASSERT_TRUE(end_within_the_last_write([this] { connection->abort(); }));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::in_doubt);
}

TEST_F(Session, HearsAnAnswerThatCameWithThePermissionToSend)
{
    start_peer({opened() + Script{Expect{"MAIL"}, Say{"250 ok\r\n"}, Expect{"RCPT"}, Say{"250 ok\r\n"}, Expect{"DATA"},
                                  Say{"354 go\r\n451 4.3.0 no, wait\r\n"}, AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.code, 451);
    EXPECT_THAT(peer->heard(), Not(HasSubstr("Body")));
}

TEST_F(Session, NeverEndsATruncatedContent)
{
    for (const std::uint64_t claimed : {1U, 1000U}) {
        start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
        Pieces content = small_content();
        content.claim_size(claimed);
        run(do_open_and_submit(content));
        EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
        EXPECT_EQ(delivery.outcome.cause, Cause::content_unavailable);
        EXPECT_EQ(delivery.outcome.scope, Scope::message);
        EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
        EXPECT_FALSE(connection->reusable());
    }
}

TEST_F(Session, NeverEndsAContentThatCannotBeRead)
{
    start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
    Pieces content({"a\r\n", "b\r\n"});
    content.fail_at(1);
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.cause, Cause::content_unavailable);
    EXPECT_EQ(delivery.outcome.text, "the blob is gone");
    EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
}

TEST_F(Session, TellsTheJournalOnceBeforeTheDot)
{
    int calls = 0;
    std::string heard_before;
    before_commit = [&] {
        ++calls;
        heard_before = peer->heard();
    };
    start_peer({opened() + envelope_taken + content_taken + quit_taken});
    Pieces content({"a\r\n", "b\r\n"});
    run(do_all(content));
    EXPECT_EQ(calls, 1);
    EXPECT_THAT(heard_before, Not(HasSubstr(".\r\n")));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Session, SendsNoDotWhenTheJournalFails)
{
    before_commit = [] { throw std::runtime_error("disk full"); };
    start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
    Pieces content = small_content();
    EXPECT_THROW(run(do_open_and_submit(content)), std::runtime_error);
    EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
    EXPECT_FALSE(connection->reusable());
}

TEST_F(Session, SendsNoDotThatTheJournalDoesNotTake)
{
    unrecorded = Loss{Cause::unrecorded, "the journal cannot be written: No space left on device"};
    start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.scope, Scope::dispatcher);
    EXPECT_EQ(delivery.outcome.cause, Cause::unrecorded);
    EXPECT_THAT(delivery.outcome.text, HasSubstr("No space left on device"));
    EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
    EXPECT_FALSE(connection->reusable());
}

TEST_F(Session, WaitsForTheJournalAndThenSendsTheDot)
{
    recording_takes = std::chrono::milliseconds(30);
    start_peer({opened() + envelope_taken + content_taken + quit_taken});
    Pieces content = small_content();
    run(do_all(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::accepted);
}

TEST_F(Session, SendsNoDotWhenItIsStoppedWhileTheJournalIsWritten)
{
    recording_takes = std::chrono::milliseconds(30);
    before_commit = [this] { connection->stop(); };
    start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::stopped);
    EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
}

TEST_F(Session, TheDeadlineOfTheDeliveryHoldsWhileTheJournalIsWritten)
{
    options.timeouts.delivery = std::chrono::milliseconds(100);
    recording_takes = std::chrono::milliseconds(300);
    start_peer({opened() + envelope_taken + Script{AwaitEnd{}}});
    Pieces content = small_content();
    run(do_open_and_submit(content));
    EXPECT_EQ(delivery.outcome.verdict, Verdict::try_again);
    EXPECT_EQ(delivery.outcome.cause, Cause::timed_out);
    EXPECT_THAT(peer->heard(), Not(HasSubstr("\r\n.\r\n")));
}

} // namespace
} // namespace mailroom::smtp
