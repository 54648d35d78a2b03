#include "transport/smtp/submit.hpp"

#include "config/crash_point.hpp"

#include "transport/mime/dot_stuffing.hpp"
#include "transport/smtp/command.hpp"
#include "transport/smtp/wire.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace mailroom::smtp {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t max_write = 64 * 1024; // octets for which the server has timeouts.content

// What one submission needs everywhere.
struct Submission {
    Wire& wire;
    Transaction& transaction;
    Content& content;
    const Timeouts& timeouts;
    const std::function<asio::awaitable<std::optional<Loss>>()>& before_commit;
    const std::function<std::string()>& begin_next; // the flight that goes out behind the dot; empty: none
    bool& past_the_dot;                             // what Connection::stop asks
    bool went_behind_a_dot = false;                 // the commands whose replies are due
    Clock::time_point expires;                      // the message
    Clock::time_point due;                          // the final dot
    Progress& progress;
    Trace* trace = nullptr; // null: nobody asks
    bool too_slow = false;  // it was not there when it was due
};

std::chrono::milliseconds time_to_the_dot(const Submission& s)
{
    const auto left = std::min(s.due, s.expires) - Clock::now();
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(left), std::chrono::milliseconds(0));
}

std::chrono::milliseconds limit_of_reply(const Submission& s)
{
    auto limit = limit_of(s.transaction.stage(), s.timeouts);
    if (s.went_behind_a_dot)
        limit = std::min(limit, s.timeouts.behind_the_dot);
    return s.past_the_dot ? limit : std::min(limit, time_to_the_dot(s));
}

// The wire knows no more than that a limit was over.
Transaction::Action lost(Submission& s, Loss loss)
{
    const auto now = Clock::now();
    if (loss.cause == Cause::timed_out && !s.transaction.is_past_the_dot()) {
        s.too_slow = now >= s.due;
        const std::string where = describe(s.progress, now);
        if (now >= s.expires)
            loss = {Cause::expired, "its time was over: " + where};
        else if (s.too_slow)
            loss.text = "too slow: " + where + " (the limit is [smtp] delivery)";
        else
            loss.text += ": " + where;
    }
    return s.transaction.on_lost(loss);
}

asio::awaitable<Transaction::Action> answered(Submission& s)
{
    s.wire.expires_after(limit_of_reply(s));
    if (s.trace != nullptr)
        s.trace->begin(s.transaction.stage());
    auto answer = co_await s.wire.read_reply();
    if (auto* loss = std::get_if<Loss>(&answer))
        co_return lost(s, std::move(*loss));
    if (s.trace != nullptr)
        s.trace->end(words_of(std::get<Reply>(answer)));
    auto next = s.transaction.on_reply(std::get<Reply>(answer));
    s.progress.answered = s.transaction.answered();
    crash_point("answered", to_string(s.transaction.stage()));
    co_return next;
}

asio::awaitable<Transaction::Action> sent(Submission& s, std::string octets)
{
    s.went_behind_a_dot = false;
    s.wire.expires_after(limit_of_reply(s));
    co_await s.wire.write(octets);
    crash_point("sent", to_string(s.transaction.stage()));
    // Also after a failed write: a 421 that came before the server closed says more than a broken pipe.
    auto next = co_await answered(s);
    co_return next;
}

// The content's pieces, checked against the size that was announced: a truncated message must never get its dot.
class Source {
public:
    explicit Source(Content& content) : content_(content), left_(content.size()) {}

    // The next octets, dot-stuffed. Valid until the next call.
    asio::awaitable<std::optional<Loss>> advance()
    {
        piece_ = {};
        if (left_ == 0)
            co_return std::nullopt;
        try {
            piece_ = co_await content_.next();
        } catch (const std::exception& error) {
            co_return Loss{Cause::content_unavailable, error.what()};
        }
        if (piece_.empty() || piece_.size() > left_)
            co_return Loss{Cause::content_unavailable, "the content has not the size that it was said to have"};
        left_ -= piece_.size();
        ends_line_ = piece_.ends_with("\r\n");
        if (mime::needs_dot_stuffing(piece_)) {
            stuffed_.clear();
            mime::append_dot_stuffed(stuffed_, piece_);
            piece_ = stuffed_;
        }
        co_return std::nullopt;
    }

    std::string_view take(std::size_t most)
    {
        const std::string_view part = piece_.substr(0, most);
        piece_.remove_prefix(part.size());
        return part;
    }

    bool piece_is_used_up() const { return piece_.empty(); }
    bool is_at_end() const { return left_ == 0 && piece_.empty(); }
    std::string_view ending() const { return ends_line_ ? ".\r\n" : "\r\n.\r\n"; }

private:
    Content& content_;
    std::uint64_t left_; // octets not yet taken from content_
    std::string stuffed_;
    std::string_view piece_;
    bool ends_line_ = true; // an empty content comes right after DATA's line
};

// Writing ended early: the server's answer says why, if there is one.
asio::awaitable<Transaction::Action> interrupted(Submission& s, Wire::Written written, std::size_t up_to_the_dot)
{
    if (written.at_most < up_to_the_dot && s.transaction.is_past_the_dot())
        s.transaction.on_withheld();
    auto answer = co_await s.wire.read_reply();
    if (auto* reply = std::get_if<Reply>(&answer))
        co_return s.transaction.on_reply(*reply);
    co_return lost(s, *s.wire.loss());
}

asio::awaitable<Transaction::Action> content_sent(Submission& s)
{
    Source source(s.content);
    s.went_behind_a_dot = false;
    s.progress.step = Progress::Step::content;
    if (s.trace != nullptr)
        s.trace->begin(Stage::content);
    s.wire.stop_writing_on_answer();
    for (;;) {
        if (source.piece_is_used_up()) {
            s.wire.expires_after(time_to_the_dot(s)); // the content's source has limits of its own
            std::optional<Loss> loss = co_await source.advance();
            if (loss) {
                s.wire.cut(std::move(*loss));
                co_return lost(s, *s.wire.loss());
            }
        }
        if (time_to_the_dot(s).count() == 0) // nothing goes out in time that would only be written after it
            s.wire.cut({Cause::timed_out, {}});
        const std::string_view part = source.take(max_write);
        std::string ending; // with the next message's commands behind it
        std::size_t up_to_the_dot = part.size();
        if (source.is_at_end() && !s.wire.loss() && s.before_commit) {
            std::optional<Loss> refused = co_await s.before_commit();
            if (refused)
                s.wire.cut(*std::move(refused));
        }
        if (source.is_at_end() && !s.wire.loss()) { // it may have been stopped meanwhile
            ending = source.ending();
            up_to_the_dot += ending.size();
            ending += s.begin_next();
            s.past_the_dot = true;
            s.transaction.on_committing();
            const auto now = Clock::now();
            s.progress.enter(Progress::Step::final_reply, now, now + s.timeouts.content + s.timeouts.final_dot);
        }
        const bool all = !ending.empty(); // what has its dot is not cut any more before its reply is overdue
        s.wire.expires_after(all ? s.timeouts.content : std::min(s.timeouts.content, time_to_the_dot(s)));
        Wire::Written written = co_await s.wire.write(part, ending, all ? up_to_the_dot : Wire::never);
        if (written.loss) {
            auto next = co_await interrupted(s, std::move(written), up_to_the_dot);
            co_return next;
        }
        s.progress.sent =
            std::min(s.progress.sent + part.size(), s.progress.size); // dots that were doubled do not count
        crash_point(all ? "sent.final_dot" : "sent.content");
        if (all && s.trace != nullptr)
            s.trace->end(std::to_string(s.content.size()) + " octets");
        if (all)
            co_return s.transaction.on_sent();
    }
}

// The only place that does what a Transaction says.
asio::awaitable<Transaction::Action> perform(Submission& s, Transaction::Action action)
{
    if (auto* send = std::get_if<Transaction::Send>(&action))
        return sent(s, std::move(send->octets));
    if (std::holds_alternative<Transaction::SendContent>(action))
        return content_sent(s);
    return answered(s);
}

} // namespace

// Until a transaction ends in order, its link is good for nothing more; an exception may end it as well.
struct Connection::Use {
    explicit Use(Connection& used) : connection(used) { connection.link_ = LinkState::unusable; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use()
    {
        connection.past_the_dot_ = false;
        if (connection.link_ == LinkState::unusable)
            connection.lose("the connection was closed after a failure");
        else
            connection.wire_->never_expires();
    }

    Connection& connection;
};

std::string Connection::begin(Following following)
{
    auto begun = std::make_unique<Begun>(std::move(following), capabilities_);
    auto action = begun->transaction.begin();
    auto* const flight = std::get_if<Transaction::Send>(&action);
    if (flight == nullptr) // refused beforehand: its own submission will say so
        return {};
    begun_ = std::move(begun);
    return std::move(flight->octets);
}

bool Connection::Begun::is_of(const Envelope& other, std::uint64_t other_size) const
{
    return size == other_size && envelope.sender.str() == other.sender.str() &&
           envelope.in_header_beyond_ascii.has_value() == other.in_header_beyond_ascii.has_value() &&
           std::ranges::equal(envelope.recipients, other.recipients, {}, &MailAddress::str, &MailAddress::str);
}

void Connection::lose(const char* why)
{
    begun_.reset();
    wire_->end({Cause::connection_lost, why}); // the replies to what was begun are not those to another message
}

asio::awaitable<Delivery> submit(Connection& connection, const Envelope& envelope, Content& content, Hooks hooks)
{
    const auto start = Clock::now();
    if (start >= hooks.expires && !connection.begun_) { // the session is as it was
        Delivery delivery;
        delivery.outcome = outcome_of({Cause::expired, "its time was over before it began"}, Stage::mail_from);
        delivery.server = connection.server_;
        co_return delivery;
    }
    const auto reset = connection.link_ == LinkState::needs_reset ? Reset::first : Reset::not_needed;
    const bool reused = connection.messages_carried_++ > 0;
    if (connection.begun_ && !connection.begun_->is_of(envelope, content.size()))
        connection.lose("another message was begun on this connection");
    const std::unique_ptr<Connection::Begun> begun = std::move(connection.begun_);
    const Connection::Use use(connection);
    std::optional<Transaction> own;
    if (!begun)
        own.emplace(envelope, content.size(), connection.capabilities_, connection.pipelining(), reset);
    Transaction& transaction = begun ? begun->transaction : *own;
    const bool may_begin_next = connection.pipelining() == Pipelining::next_message && hooks.following;
    const std::function<std::string()> begin_next = [&]() -> std::string {
        auto following = may_begin_next ? hooks.following() : std::nullopt;
        return following ? connection.begin(*std::move(following)) : std::string();
    };
    Progress unwatched;
    Progress& progress = hooks.progress != nullptr ? *hooks.progress : unwatched;
    progress.size = content.size();
    progress.recipients = envelope.recipients.size();
    progress.answered = progress.sent = 0;
    const auto due = start + limit_of_delivery(content.size(), connection.timeouts_);
    progress.enter(Progress::Step::commands, start, due);
    Submission s{*connection.wire_,
                 transaction,
                 content,
                 connection.timeouts_,
                 hooks.before_commit,
                 begin_next,
                 connection.past_the_dot_,
                 begun != nullptr,
                 hooks.expires,
                 due,
                 progress,
                 connection.trace_};

    Transaction::Action action = Transaction::AwaitReply{};
    if (!begun)
        action = transaction.begin();
    while (!std::holds_alternative<Transaction::Finish>(action))
        action = co_await perform(s, std::move(action));
    auto& finish = std::get<Transaction::Finish>(action);
    connection.link_ = finish.link;
    if (connection.begun_ && finish.link == LinkState::needs_reset) // a refused dot ends a transaction as well
        connection.link_ = LinkState::clean;
    connection.broke_off_ = s.too_slow ? BrokeOff::no : finish.broke_off; // a slow one would be no faster in lock-step
    finish.delivery.server = connection.server_;
    finish.delivery.reused_connection = reused;
    co_return std::move(finish.delivery);
}

} // namespace mailroom::smtp
