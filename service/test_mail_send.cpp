// The one attempt of a test, by the composer and the transport of all mail.
#include "service/errand.hpp"
#include "service/safe_transport.hpp"
#include "service/smtp_transport.hpp"
#include "service/test_mail.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include <exception>
#include <functional>
#include <utility>
#include <vector>

namespace mailroom::test_mail {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

Delivery not_begun(std::string why)
{
    Delivery delivery;
    delivery.outcome = {Verdict::give_up, Scope::message, Cause::none, Stage::connect, 0, {},
                        std::move(why),   std::nullopt};
    return delivery;
}

queue::MessageContent content_for(const Plan& plan)
{
    queue::MessageContent content;
    content.recipients.push_back({queue::StoredRecipient::Kind::to, NamedAddress{{}, plan.to}});
    const auto text = [](const std::string& words) { return HeaderText::make(printable(words, 200)).value(); };
    content.subject = text("[Test] mailroom test e-mail: " + plan.place);
    content.headers.emplace_back(HeaderName::make("X-Mailroom-Test").value(), text(plan.place));
    content.text = fmt::format("This is a test e-mail of mailroom ({}).\n\nWhoever reads it: the mail settings work as "
                               "far as to you. There is nothing to do.\n",
                               plan.place);
    return content;
}

Job job_of(const Plan& plan)
{
    queue::Claimed claimed;
    claimed.uid = plan.uid;
    claimed.dated_at = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    claimed.recipients = 1;
    claimed.lane = Lane::urgent;
    return {.claimed = std::move(claimed),
            .table_row = plan.decision.table_row,
            .identity = *plan.decision.identity(),
            .snapshot = plan.snapshot,
            .content = content_for(plan)};
}

// A look-up of a name that does not end keeps its thread: it is left behind, reachable, until the process ends.
void leave_behind(std::unique_ptr<asio::io_context> io)
{
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): it is added to
    static auto& left = *new std::vector<std::unique_ptr<asio::io_context>>();
    left.push_back(std::move(io));
}

struct Attempt {
    Transport& transport; // all that the daemon puts before its own stands before this one as well
    Errand& errand;
    Delivery delivery;
    bool has_ended = false;
    bool is_over = false; // and said farewell
};

asio::awaitable<void> carry(Attempt& attempt)
{
    const std::function<asio::awaitable<std::optional<smtp::Loss>>()> before_commit;
    const std::function<std::optional<Letter>()> next = [] { return std::nullopt; };
    std::unique_ptr<Begun> begun;
    const Parcel parcel{attempt.errand.letter(),   before_commit, next, begun, steady_clock::time_point::max(),
                        &attempt.errand.progress()};
    attempt.delivery = co_await attempt.transport.deliver(parcel);
    attempt.has_ended = true;
    attempt.transport.stop();
    co_await attempt.transport.tidy();
}

smtp::Timeouts timeouts_of(std::chrono::milliseconds limit)
{
    smtp::Timeouts timeouts;
    for (auto* each : {&timeouts.connect, &timeouts.tls, &timeouts.greeting, &timeouts.ehlo, &timeouts.auth,
                       &timeouts.mail_from, &timeouts.rcpt_to, &timeouts.data, &timeouts.content, &timeouts.final_dot})
        *each = 2 * limit; // the limit of all together comes first
    timeouts.resolve = 2 * limit;
    timeouts.quit = std::chrono::seconds(1);
    return timeouts;
}

void say_what_took_too_long(Sent& sent, std::chrono::milliseconds limit)
{
    Outcome& outcome = sent.delivery.outcome;
    if (const Trace::Step* const open = sent.trace.open())
        outcome.stage = open->stage;
    outcome.cause = Cause::timed_out;
    outcome.code = 0;
    outcome.text = fmt::format("no answer: the test as a whole may take {} s",
                               std::chrono::ceil<std::chrono::seconds>(limit).count());
}

} // namespace

Sent send(const Plan& plan, const Means& means)
{
    const auto end = steady_clock::now() + means.limit;
    const rules::Identity& identity = *plan.decision.identity();
    Sent sent;
    sent.delivery.server = smtp::to_string(smtp::Server{identity.host, identity.port, identity.security});
    queue::DatabaseLane lane(means.database);
    Errand errand(job_of(plan));
    if (auto composed = errand.compose(means.domain, lane); !composed) {
        sent.delivery.outcome = not_begun(composed.error().text).outcome;
        return sent;
    }
    auto io = std::make_unique<asio::io_context>(1);
    bool is_late = false;
    std::exception_ptr broken;
    {
        const Connections::Options options{means.authorities,       means.client_name,       timeouts_of(means.limit),
                                           std::chrono::seconds(1), smtp::Pipelining::never, &sent.trace};
        SmtpTransport transport(io->get_executor(), options, means.keys);
        SafeTransport safe(transport, means.safety);
        Attempt attempt{safe, errand, {}, false, false};
        asio::steady_timer limit(*io, end);
        limit.async_wait([&](boost::system::error_code error) {
            if (error || attempt.has_ended)
                return;
            is_late = true;
            transport.give_up(errand.progress());
        });
        asio::co_spawn(*io, carry(attempt), [&](std::exception_ptr error) {
            broken = std::move(error);
            attempt.is_over = true;
        });
        while (!attempt.is_over && io->run_one() > 0) // what else it has, such as a look-up, is not waited for
            continue;
        limit.cancel();
        if (attempt.has_ended)
            sent.delivery = std::move(attempt.delivery);
    }
    const bool hangs_in_the_lookup = sent.trace.open() != nullptr && sent.trace.open()->stage == Stage::resolve;
    if (is_late && sent.delivery.outcome.verdict != Verdict::accepted)
        say_what_took_too_long(sent, means.limit);
    if (hangs_in_the_lookup)
        leave_behind(std::move(io));
    if (broken)
        std::rethrow_exception(broken);
    return sent;
}

} // namespace mailroom::test_mail
