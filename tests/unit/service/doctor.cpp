// What the doctor makes of what was found: thresholds and words. What it finds is in test_commands_doctor.py.
#include "service/doctor/daemon.hpp"
#include "service/doctor/database.hpp"
#include "service/doctor/finding.hpp"
#include "service/doctor/machine.hpp"
#include "service/doctor/queue.hpp"
#include "service/doctor/servers.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

namespace mailroom::doctor {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

testing::Matcher<Finding> is(Level level, const std::string& words)
{
    return AllOf(Field("level", &Finding::level, level), Field("text", &Finding::text, HasSubstr(words)));
}

boost::json::value parsed(const char* text)
{
    return boost::json::parse(text);
}

// ---- The clock

TEST(Doctor, WarnsOfAClockThatNobodyKeeps)
{
    EXPECT_THAT(about_own_clock(true), is(Level::ok, "is kept"));
    EXPECT_THAT(about_own_clock(false), is(Level::warning, "nothing keeps this machine's clock"));
    EXPECT_THAT(about_own_clock(false).remedy, HasSubstr("timedatectl set-ntp true"));
    EXPECT_EQ(about_own_clock(std::nullopt).level, Level::not_checked);
}

TEST(Doctor, HoldsAClockThatIsAnHourOffForAProblemToWhicheverSide)
{
    EXPECT_THAT(about_clock({3600s, 10ms}), is(Level::problem, "3600.0 s ahead"));
    EXPECT_THAT(about_clock({-3600s, 10ms}), is(Level::problem, "3600.0 s behind"));
}

TEST(Doctor, WarnsOfAClockFromFiveSecondsOn)
{
    EXPECT_THAT(about_clock({4900ms, 0ms}), is(Level::ok, "agree"));
    EXPECT_THAT(about_clock({5100ms, 0ms}), is(Level::warning, "5.1 s ahead"));
    EXPECT_THAT(about_clock({59s, 0ms}), is(Level::warning, ""));
    EXPECT_THAT(about_clock({61s, 0ms}), is(Level::problem, ""));
}

TEST(Doctor, BlamesNoClockForWhatASlowAnswerMayExplain)
{
    EXPECT_THAT(about_clock({6s, 3s}), is(Level::ok, "agree"));
}

// ---- Room and names

TEST(Doctor, SaysBeforeTheLogHasNoRoomLeft)
{
    constexpr std::uintmax_t mebibyte = 1024 * 1024;
    EXPECT_EQ(about_space("/var/log", 512 * mebibyte).level, Level::ok);
    EXPECT_EQ(about_space("/var/log", 511 * mebibyte).level, Level::warning);
    EXPECT_EQ(about_space("/var/log", 16 * mebibyte - 1).level, Level::problem);
}

TEST(Doctor, WarnsOfANameServerThatIsSlow)
{
    EXPECT_EQ(about_name({"db1", 1, 2000ms, ""}).level, Level::ok);
    EXPECT_EQ(about_name({"db1", 1, 2001ms, ""}).level, Level::warning);
    EXPECT_EQ(about_name({"db1", 0, 1ms, "Host not found"}).level, Level::problem);
}

TEST(Doctor, LooksUpANameWhileTheOneBeforeStillHasNoAnswer)
{
    std::promise<void> answer;
    const auto answered =
        std::make_shared<std::promise<void>>(); // the other thread may still be in it when this one goes on
    const auto resolve = [waits = answer.get_future().share(), answered](const std::string& name) {
        if (name != "slow")
            return Result<std::size_t>(2);
        waits.wait();
        answered->set_value();
        return Result<std::size_t>(1);
    };
    const auto found = look_up({"slow", "quick"}, resolve, 500ms);
    EXPECT_THAT(found,
                ElementsAre(AllOf(Field("error", &LookedUp::error, "no answer within 0.5 s"),
                                  Field("addresses", &LookedUp::addresses, 0)),
                            AllOf(Field("error", &LookedUp::error, ""), Field("addresses", &LookedUp::addresses, 2))));
    answer.set_value(); // long after nobody waits for it
    answered->get_future().wait();
    EXPECT_EQ(found.front().addresses, 0);
}

TEST(Doctor, LeavesOutTheOtherNamesAfterTwoWithoutAnAnswer)
{
    std::promise<void> never;
    const auto resolve = [waits = never.get_future().share()](const std::string&) {
        waits.wait();
        return Result<std::size_t>(1);
    };
    const auto found = look_up({"a", "b", "c"}, resolve, 10ms);
    EXPECT_THAT(found.back(), Field("error", &LookedUp::error, HasSubstr("not looked up")));
    EXPECT_THAT(found, SizeIs(3));
}

// ---- The database

TEST(Doctor, KnowsWhatToDoWhenADatabaseRefuses)
{
    EXPECT_THAT(remedy_of("FATAL:  password authentication failed for user \"mailroom\""),
                HasSubstr("correct user and password"));
    EXPECT_THAT(remedy_of("FATAL:  database \"erp\" does not exist"), HasSubstr("dbname"));
    EXPECT_THAT(remedy_of("FATAL:  role \"mailroom\" does not exist"), HasSubstr("CREATE ROLE"));
    EXPECT_THAT(remedy_of("session is read-only"), HasSubstr("primary"));
    EXPECT_THAT(remedy_of("Passwort-Authentifizierung fehlgeschlagen"), HasSubstr("log of PostgreSQL"));
}

boost::json::value server(const char* tls, bool distant, bool autovacuum, int left, const boost::json::array& roles)
{
    return boost::json::object{{"version", "15.4"},
                               {"in_recovery", false},
                               {"tls", *tls == 0 ? boost::json::value(nullptr) : boost::json::value(tls)},
                               {"distant", distant},
                               {"autovacuum", autovacuum},
                               {"connections_left", left},
                               {"max_connections", 100},
                               {"login", "mailroom"},
                               {"is_owner", false},
                               {"roles", roles}};
}

TEST(Doctor, FindsNothingWrongWithAServerAsItShouldBe)
{
    const auto findings = about_server(server("TLSv1.3", true, true, 90, {"mailroom_operator", "mailroom_worker"}));
    EXPECT_THAT(findings, Each(Field(&Finding::level, Level::ok)));
    EXPECT_THAT(findings, Contains(is(Level::ok, "may not account, limit")));
}

TEST(Doctor, WarnsOfAConnectionInClearOnlyWhereItLeavesTheMachine)
{
    EXPECT_THAT(about_server(server("", true, true, 90, {"mailroom_worker"})),
                Contains(is(Level::warning, "not encrypted")));
    EXPECT_THAT(about_server(server("", false, true, 90, {"mailroom_worker"})),
                Contains(is(Level::ok, "not encrypted")));
}

TEST(Doctor, NamesWhatALoginWithoutARoleMayNot)
{
    EXPECT_THAT(about_server(server("", false, true, 90, {"mailroom_operator"})),
                Contains(AllOf(is(Level::problem, "may not serve"),
                               Field(&Finding::remedy, "GRANT mailroom_worker TO \"mailroom\""))));
}

TEST(Doctor, SeesAutovacuumThatIsOffAndConnectionsThatRunOut)
{
    const auto findings = about_server(server("", false, false, 9, {"mailroom_worker"}));
    EXPECT_THAT(findings, Contains(is(Level::problem, "it is off")));
    EXPECT_THAT(findings, Contains(is(Level::warning, "9 of 100 are free")));
}

// ---- The queue

constexpr const char* quiet =
    R"({"dispatchers": [{"host": "a", "pid": 1, "version": "1.0", "keys": "k", "alive": true,
    "silent_for": 1}], "depth": [], "paused_logins": [], "stopped_senders": [], "blocked_routes": [],
    "empty_generations": {"content": 3, "history": 2}})";

boost::json::value quiet_but(const char* key, const char* value)
{
    boost::json::value facts = parsed(quiet);
    facts.as_object()[key] = parsed(value);
    return facts;
}

TEST(Doctor, FindsNothingWrongWithAQuietQueue)
{
    EXPECT_THAT(about_queue(parsed(quiet)), Each(Field(&Finding::level, Level::ok)));
    EXPECT_THAT(about_queue(parsed(quiet), "k"), Each(Field(&Finding::level, Level::ok)));
}

TEST(Doctor, HoldsASilentDispatcherForAProblemOnlyWhereMailWaitsForIt)
{
    auto facts = quiet_but("dispatchers", R"([{"host": "a", "pid": 1, "version": "1.0", "keys": null, "alive": false,
        "silent_for": 300}])");
    EXPECT_THAT(about_queue(facts), Contains(is(Level::warning, "a (pid 1, 1.0), was heard 5 min ago")));
    facts.as_object()["depth"] =
        parsed(R"([{"state": "ready", "lane": "normal", "messages": 2, "due_for": 7, "oldest": 7}])");
    EXPECT_THAT(about_queue(facts), Contains(is(Level::problem, "2 messages due")));
}

TEST(Doctor, WarnsOfDispatchersThatDiffer)
{
    const auto findings = about_queue(quiet_but("dispatchers", R"([
        {"host": "a", "pid": 1, "version": "1.0", "keys": "k", "alive": true, "silent_for": 1},
        {"host": "b", "pid": 2, "version": "1.1", "keys": null, "alive": true, "silent_for": 1},
        {"host": "c", "pid": 3, "version": "0.9", "keys": "old", "alive": false, "silent_for": 99}])"));
    EXPECT_THAT(findings, Contains(is(Level::warning, "2 versions")));
    EXPECT_THAT(findings, Contains(is(Level::warning, "not all the same sealing key")));
}

TEST(Doctor, WarnsOfDispatchersThatHaveNotTheKeyOfTheSettingsFile)
{
    EXPECT_THAT(about_queue(parsed(quiet), "another"), Contains(is(Level::warning, "(id k) is not the one that")));
    const auto without_key = quiet_but(
        "dispatchers", R"([{"host": "a", "pid": 1, "version": "1.0", "keys": null, "alive": true, "silent_for": 1}])");
    EXPECT_THAT(about_queue(without_key, "k"), Contains(is(Level::warning, "no dispatcher has a sealing key")));
    EXPECT_THAT(about_queue(without_key), Not(Contains(is(Level::warning, "sealing key"))));
}

TEST(Doctor, HasMorePatienceWithBulkMail)
{
    const auto due = [](const char* lane, int seconds) {
        boost::json::value facts = parsed(quiet);
        facts.as_object()["depth"] = boost::json::array{boost::json::object{
            {"state", "ready"}, {"lane", lane}, {"messages", 1}, {"due_for", seconds}, {"oldest", seconds}}};
        return about_queue(facts);
    };
    EXPECT_THAT(due("normal", 900), Each(Field(&Finding::level, Level::ok)));
    EXPECT_THAT(due("normal", 901), Contains(is(Level::warning, "normal for 15 min")));
    EXPECT_THAT(due("bulk", 6 * 3600), Each(Field(&Finding::level, Level::ok)));
    EXPECT_THAT(due("bulk", 6 * 3600 + 1), Contains(Field(&Finding::level, Level::warning)));
}

TEST(Doctor, TellsHoldsThatSomebodyWantedFromThoseThatNeedSomebody)
{
    const auto held = [](const char* reason) {
        boost::json::value facts = parsed(quiet);
        facts.as_object()["depth"] = boost::json::array{boost::json::object{{"state", "held"},
                                                                            {"lane", nullptr},
                                                                            {"reason", reason},
                                                                            {"subject", "user ANNA"},
                                                                            {"remedy", "do this"},
                                                                            {"messages", 3},
                                                                            {"due_for", 0},
                                                                            {"oldest", 60}}};
        Finding found;
        for (const auto& finding : about_queue(facts))
            if (finding.check == "holds")
                found = finding;
        return found;
    };
    EXPECT_EQ(held("operator_hold").level, Level::ok);
    EXPECT_EQ(held("no_user").level, Level::warning);
    EXPECT_EQ(held("no_user").remedy, "do this");
    EXPECT_EQ(held("no_user").subject, "no_user (user ANNA)");
    for (const char* reason : {"in_doubt", "quarantined", "key_missing", "copied_from"})
        EXPECT_EQ(held(reason).level, Level::problem) << reason;
}

TEST(Doctor, SaysOfARingThatHasNoRoomThatItGrows)
{
    EXPECT_THAT(about_queue(quiet_but("empty_generations", R"({"content": 0, "history": 2})")),
                Contains(AllOf(is(Level::warning, "it grows"), Field(&Finding::subject, "content"))));
}

TEST(Doctor, WeighsWhatPinsVacuumByItsAge)
{
    const auto level = [](std::optional<std::chrono::seconds> age, std::int64_t transactions) {
        return about_pins({{"n", "transaction pid 7", "end it", age, "transaction pid 7", transactions}}).front().level;
    };
    EXPECT_EQ(level(59s, 9'999), Level::ok);
    EXPECT_EQ(level(60s, 1), Level::warning);
    EXPECT_EQ(level(std::nullopt, 10'000), Level::warning);
    EXPECT_EQ(level(3600s, 1), Level::problem);
    EXPECT_EQ(level(std::nullopt, 1'000'000), Level::problem);
}

// ---- Mail servers

TEST(Doctor, WarnsTwoWeeksBeforeACertificateExpires)
{
    const std::chrono::sys_seconds now = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1);
    EXPECT_THAT(about_certificate("mail:587", now + std::chrono::days(14), now), is(Level::ok, "14 more days"));
    EXPECT_THAT(about_certificate("mail:587", now + std::chrono::days(14) - 1s, now),
                is(Level::warning, "13 more days"));
    EXPECT_THAT(about_certificate("mail:587", now + std::chrono::hours(25), now), is(Level::warning, "1 more day"));
}

// ---- How it is shown

TEST(Doctor, LeavesOutTheLeastOfWhatIsTooMuch)
{
    Findings many(30, fine("logins", "x", "takes it"));
    many.push_back(problem("logins", "ANNA", "refused"));
    const Findings shown = the_first(many, 20);
    ASSERT_THAT(shown, SizeIs(21));
    EXPECT_EQ(shown.front().subject, "ANNA");
    EXPECT_EQ(shown.back().subject, "and 11 more");
    EXPECT_THAT(the_first(many, 31), SizeIs(31));
}

TEST(Doctor, IndentsWhatHasSeveralLines)
{
    const std::string lines = to_lines(problem("database", "db1", "cannot connect\n  for a reason", "repair it"));
    EXPECT_EQ(lines, "problem      database       db1: cannot connect\n"
                     "                            for a reason\n"
                     "                            -> repair it\n");
}

} // namespace
} // namespace mailroom::doctor
