// What became of a test: for whoever reads it, and for the status of account and pair.
#include "service/doctor/servers.hpp"
#include "service/login.hpp"
#include "service/rules/decide.hpp"
#include "service/test_mail.hpp"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>
#include <utility>
#include <variant>

namespace mailroom::test_mail {
namespace {

std::string owner_word(const Owner& owner)
{
    return owner.kind == Owner::Kind::general ? "general" : fmt::format("user:{}", owner.id);
}

rules::Judgement judge(const Delivery& delivery, const rules::Identity& identity)
{
    return rules::decide(delivery, identity, {}, {}, 0.5);
}

pg::DbResult<bool> set_good(pg::Connection& connection, const rules::Identity& identity, const Login& login)
{
    const rules::RefusedPair pair = rules::pair_of(identity);
    pg::Params params;
    params.bytes(login.fingerprint).text(identity.host).text(to_string(pair.mode)).text(pair.account);
    params.text(pair.from.str());
    auto done = connection.run({"", "SELECT mailroom.test_was_good($1::bytea, $2, $3, $4, $5, $6)"},
                               params.text(owner_word(identity.owner)));
    if (!done)
        return done.error();
    return done->truth(0, 0);
}

// What people are shown.
pg::DbResult<void> note(pg::Connection& connection, const rules::Identity& identity, queue::LoginNote::Login login,
                        const std::string& words)
{
    if (identity.password == nullptr)
        return {};
    return queue::note_login(connection,
                             {identity.owner, *identity.password, identity.account, identity.host, login, words});
}

Result<Status> status_after(pg::Connection& connection, const rules::Identity& identity, const Delivery& delivery,
                            const queue::Keyring* keys)
{
    const Result<Login> login = login_for(identity, keys);
    if (!login)
        return Status{};
    if (delivery.outcome.verdict == Verdict::accepted) {
        if (const auto noted = note(connection, identity, queue::LoginNote::Login::succeeded, {}); !noted)
            return Error{"setting the status: " + pg::explain(noted.error())};
        const auto known = set_good(connection, identity, *login);
        if (!known)
            return Error{"setting the status: " + pg::explain(known.error())};
        return Status{*known ? "what was refused before is not any more, and what waited for it goes on"
                             : "what waited for the account goes on"};
    }
    const std::string reply = doctor::words_of(delivery.outcome);
    const auto pause = [&](const char* reason) -> pg::DbResult<bool> {
        const std::string owner = identity.owner_code.empty() ? "general" : "user " + identity.owner_code;
        if (const auto noted = note(connection, identity, queue::LoginNote::Login::refused, reply); !noted)
            return noted.error();
        return queue::refuse_login(connection,
                                   {login->fingerprint, reason, {owner, identity.account, identity.host, reply}});
    };
    pg::DbResult<bool> stored = false;
    std::string words;
    switch (judge(delivery, identity).consequence) {
    case rules::Consequence::login_refused:
        stored = pause("auth_failed");
        words = "the account is paused for all: its mail is held, and nothing tries the login again by itself";
        break;
    case rules::Consequence::basic_login_ended:
        stored = pause("basic_login_ended");
        words = "the account is paused for all: its mail is held, and nothing tries the login again by itself";
        break;
    case rules::Consequence::sender_refused: {
        const rules::RefusedPair pair = rules::pair_of(identity);
        stored = queue::refuse_sender(connection, {std::string(to_string(pair.mode)),
                                                   pair.account,
                                                   pair.from.str(),
                                                   reply,
                                                   rules::place_key(rules::refused_sender(identity)),
                                                   {}});
        words = "mail of this account as this address is held; its other addresses go on";
        break;
    }
    default:
        return Status{};
    }
    if (!stored)
        return Error{"setting the status: " + pg::explain(stored.error())};
    return Status{std::move(words)};
}

std::string remedy_for(const Delivery& delivery)
{
    Outcome outcome = delivery.outcome;
    if (outcome.cause == Cause::timed_out && outcome.stage == Stage::resolve)
        outcome.cause = Cause::name_not_found;
    if (outcome.cause == Cause::timed_out && outcome.stage > Stage::greeting)
        return "the server is there and does not answer: try again later; its own log may say why";
    return doctor::about_unreachable(delivery.server, outcome).remedy;
}

} // namespace

Report report_of(const Plan& plan, const Sent* sent, const std::string& domain)
{
    Report report;
    report.place = plan.place;
    report.pressed_by = plan.pressed_by;
    report.note = plan.note;
    report.counts = plan.counts;
    report.table_row = plan.decision.table_row;
    report.mode = to_string(plan.mode);
    report.to = plan.to.written();
    if (const rules::Hold* const hold = plan.decision.hold()) {
        report.outcome = "held";
        report.words = rules::describe(*hold);
        report.what_to_do = rules::remedy(*hold);
        return report;
    }
    const rules::Identity& identity = *plan.decision.identity();
    report.account = identity.account;
    report.from = to_string(identity.from);
    report.sender = identity.sender ? identity.sender->written() : "";
    report.envelope_sender = identity.envelope_sender.written();
    report.message_id = "<" + plan.uid + "@" + domain + ">";
    const Delivery& delivery = sent->delivery;
    report.server = delivery.server;
    report.words = doctor::words_of(delivery.outcome);
    report.steps = steps_of(sent->trace, report.words, Trace::Clock::now());
    if (delivery.outcome.verdict == Verdict::accepted) {
        report.outcome = "accepted";
        return report;
    }
    report.outcome = delivery.outcome.verdict == Verdict::in_doubt ? "in_doubt" : "refused";
    report.failed_at = name_of(delivery.outcome.stage);
    const rules::Judgement judgement = judge(delivery, identity);
    if (const auto* held = std::get_if<rules::Held>(&judgement.transition))
        report.what_to_do = rules::remedy(held->hold);
    else if (delivery.outcome.verdict == Verdict::in_doubt)
        report.what_to_do = "look whether the test has come; if not, send another";
    else
        report.what_to_do = remedy_for(delivery);
    return report;
}

Result<Status> settle(pg::Connection& connection, const Plan& plan, const Sent* sent, const Report& report,
                      const queue::Keyring* keys)
{
    Status status{"the values are not the stored ones: no status changes"};
    if (plan.counts && sent != nullptr) {
        auto after = status_after(connection, *plan.decision.identity(), sent->delivery, keys);
        if (!after)
            return after;
        status = *std::move(after);
    } else if (plan.counts) {
        status.words.clear();
    }
    const auto recorded = connection.run({"", "SELECT mailroom.record_test($1::jsonb)"},
                                         pg::Params().text(boost::json::serialize(to_json(report))));
    if (!recorded)
        return Error{"recording the test: " + pg::explain(recorded.error())};
    return status;
}

} // namespace mailroom::test_mail
