#include "config/service_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace mailroom {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

const std::string complete = R"([installation]
name = "erp"
domain = "mail.example.com"

[database]
connection = "host=db dbname=erp"
)"; // six lines: what is added stands from line 7 on

ServiceFile parsed(const std::string& text)
{
    auto file = parse_service_file(text, "m.toml");
    EXPECT_TRUE(file) << (file ? "" : file.error().front());
    return file ? *file : ServiceFile();
}

Problems problems_of(const std::string& text)
{
    auto file = parse_service_file(text, "m.toml");
    return file ? Problems{} : file.error();
}

// One key of one section beside what is required.
ServiceFile with(const std::string& section, const std::string& line)
{
    return parsed(complete + "[" + section + "]\n" + line + "\n");
}

Problems problems_with(const std::string& section, const std::string& line)
{
    return problems_of(complete + "[" + section + "]\n" + line + "\n");
}

TEST(ServiceFile, NeedsNothingButAnInstallationAndADatabase)
{
    const ServiceFile file = parsed(complete);
    EXPECT_EQ(file.path, "m.toml");
    EXPECT_EQ(file.installation.name, "erp");
    EXPECT_EQ(file.installation.domain, "mail.example.com");
    EXPECT_EQ(file.database.connection, "host=db dbname=erp");
    EXPECT_EQ(file.smtp.final_reply, 10min);
    EXPECT_EQ(file.dispatcher.connections, 16);
    EXPECT_EQ(file.doubt.policy, DoubtPolicy::resend_once);
    EXPECT_EQ(file.retention.content, 7 * 24h);
    EXPECT_EQ(file.retention.log, 90 * 24h);
    EXPECT_EQ(file.retention.idempotency, 90 * 24h);
    EXPECT_EQ(file.log.level, LogLevel::info);
}

TEST(ServiceFile, ReadsEveryKey)
{
    const ServiceFile file = parsed(complete + R"(
[secrets]
key_file = "/etc/mailroom/key"
[tls]
ca_file = "/etc/ssl/own.pem"
[smtp]
client_name = "erp-1.example.com"
connect = "5s"
reply = "1m"
final_reply = "30m"
idle = "250ms"
delivery = "45m"
[dispatcher]
connections = 512
lease = "1h"
poll = "50ms"
stop_limit = "90s"
[retry]
max_attempts = 3
max_age = "4d"
[doubt]
policy = "hold"
resend_after = "168h"
[retention]
content = "1d"
log = "3650d"
idempotency = "12h"
[log]
level = "warning"
target = "file"
format = "json"
file = "/var/log/mailroom.log"
max_size = "512KiB"
keep = 9
subjects = true
)");
    EXPECT_EQ(file.secrets.key_file, "/etc/mailroom/key");
    EXPECT_EQ(file.tls.ca_file, "/etc/ssl/own.pem");
    EXPECT_EQ(file.smtp.client_name, "erp-1.example.com");
    EXPECT_EQ(file.smtp.connect, 5s);
    EXPECT_EQ(file.smtp.reply, 60s);
    EXPECT_EQ(file.smtp.final_reply, 30min);
    EXPECT_EQ(file.smtp.idle, 250ms);
    EXPECT_EQ(file.smtp.delivery, 45min);
    EXPECT_EQ(file.dispatcher.connections, 512);
    EXPECT_EQ(file.dispatcher.lease, 1h);
    EXPECT_EQ(file.dispatcher.poll, 50ms);
    EXPECT_EQ(file.dispatcher.stop_limit, 90s);
    EXPECT_EQ(file.retry.max_attempts, 3);
    EXPECT_EQ(file.retry.max_age, 96h);
    EXPECT_EQ(file.doubt.policy, DoubtPolicy::hold);
    EXPECT_EQ(file.doubt.resend_after, 168h);
    EXPECT_EQ(file.retention.content, 24h);
    EXPECT_EQ(file.retention.log, 3650 * 24h);
    EXPECT_EQ(file.retention.idempotency, 12h);
    EXPECT_EQ(file.log.level, LogLevel::warning);
    EXPECT_EQ(file.log.target, LogTarget::file);
    EXPECT_EQ(file.log.format, LogFormat::json);
    EXPECT_EQ(file.log.file, "/var/log/mailroom.log");
    EXPECT_EQ(file.log.max_size, 512U * 1024U);
    EXPECT_EQ(file.log.keep, 9);
    EXPECT_TRUE(file.log.subjects);
}

TEST(ServiceFile, LogsToTheFileThatItNames)
{
    EXPECT_EQ(parsed(complete).log.target, LogTarget::automatic);
    const ServiceFile::Log log = with("log", R"(file = "/var/log/mailroom.log")").log;
    EXPECT_EQ(log.target, LogTarget::file);
    EXPECT_EQ(log.max_size, 64U * 1024U * 1024U);
    EXPECT_EQ(log.keep, 5);
    EXPECT_FALSE(log.subjects);
}

TEST(ServiceFile, ReadsALogTargetByEachOfItsNames)
{
    EXPECT_EQ(with("log", R"(target = "auto")").log.target, LogTarget::automatic);
    EXPECT_EQ(with("log", R"(target = "stderr")").log.target, LogTarget::standard_error);
    EXPECT_EQ(with("log", R"(target = "journal")").log.target, LogTarget::journal);
    EXPECT_EQ(with("log", "target = \"file\"\nfile = \"a\"").log.target, LogTarget::file);
}

TEST(ServiceFile, ReadsASizeWithItsUnit)
{
    const auto size_of = [](const std::string& size) {
        return with("log", "file = \"a\"\nmax_size = \"" + size + "\"").log.max_size;
    };
    EXPECT_EQ(size_of("0"), 0U);
    EXPECT_EQ(size_of("0MiB"), 0U);
    EXPECT_EQ(size_of("1KiB"), 1024U);
    EXPECT_EQ(size_of("3GiB"), 3ULL << 30U);
    EXPECT_EQ(size_of("1TiB"), 1ULL << 40U);
}

TEST(ServiceFile, RefusesALogThatContradictsItself)
{
    const auto refused = [](const std::string& lines) { return problems_with("log", lines); };
    EXPECT_THAT(refused(R"(target = "file")"),
                ElementsAre("m.toml:8: [log] target: \"file\" needs to know which: name it with file"));
    EXPECT_THAT(refused("file = \"a\"\ntarget = \"journal\""),
                ElementsAre("m.toml:8: [log] file: is for target = \"file\" alone"));
    EXPECT_THAT(refused("file = \"a\"\ntarget = \"auto\""), SizeIs(1));
    EXPECT_THAT(refused("target = \"journal\"\nformat = \"json\""),
                ElementsAre(StartsWith("m.toml:9: [log] format: ")));
    EXPECT_THAT(refused("max_size = \"1MiB\"\nkeep = 3"), ElementsAre("m.toml:8: [log] max_size: is for a file alone",
                                                                      "m.toml:9: [log] keep: is for a file alone"));
    EXPECT_THAT(refused("file = \"a\"\nmax_size = \"0\"\nkeep = 3"),
                ElementsAre(StartsWith("m.toml:10: [log] keep: nothing is kept where max_size is 0")));
}

TEST(ServiceFile, ReadsALogLevelByEachOfItsNames)
{
    EXPECT_EQ(with("log", R"(level = "debug")").log.level, LogLevel::debug);
    EXPECT_EQ(with("log", R"(level = "info")").log.level, LogLevel::info);
    EXPECT_EQ(with("log", R"(level = "warning")").log.level, LogLevel::warning);
    EXPECT_EQ(with("log", R"(level = "error")").log.level, LogLevel::error);
}

TEST(ServiceFile, ReadsLinesThatEndAsWindowsEndsThem)
{
    std::string text = complete + "[retry]\nmax_attempts = 7\n";
    for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2)
        text.insert(at, 1, '\r');
    const ServiceFile file = parsed(text);
    EXPECT_EQ(file.installation.name, "erp");
    EXPECT_EQ(file.retry.max_attempts, 7);
    EXPECT_THAT(problems_of(text + "max_attempts_ = 1\r\n"), ElementsAre(StartsWith("m.toml:9: ")));
}

// ---- What is wrong with one value ----

struct BadValue {
    std::string section;
    std::string line;
    std::string problem; // behind "m.toml:8: [section] "
};

class BadValueOfServiceFile : public testing::TestWithParam<BadValue> {};

TEST_P(BadValueOfServiceFile, IsNamedWithItsLineAndWhatIsAllowed)
{
    const BadValue& bad = GetParam();
    EXPECT_THAT(problems_with(bad.section, bad.line), ElementsAre("m.toml:8: [" + bad.section + "] " + bad.problem));
}

const std::string times = R"(, such as "500ms", "20s", "15m", "2h" or "7d")";
const std::string sizes = R"( from 0 to 1TiB, such as "512KiB", "64MiB" or "1GiB")";

INSTANTIATE_TEST_SUITE_P(
    All, BadValueOfServiceFile,
    testing::Values(
        BadValue{"secrets", "key_file = 1", "key_file: must be a text in quotes"},
        BadValue{"tls", "ca_file = true", "ca_file: must be a text in quotes"},
        BadValue{"log", "file = [\"x\"]", "file: must be a text in quotes"},
        BadValue{"log", "max_size = 64", "max_size: must be a size" + sizes},
        BadValue{"log", "max_size = \"64\"", "max_size: must be a size" + sizes},
        BadValue{"log", "max_size = \"64MB\"", "max_size: must be a size" + sizes},
        BadValue{"log", "max_size = \"-1MiB\"", "max_size: must be a size" + sizes},
        BadValue{"log", "max_size = \"2TiB\"", "max_size: must be a size" + sizes},
        BadValue{"log", "max_size = \"99999999999TiB\"", "max_size: must be a size" + sizes},
        BadValue{"log", "keep = 0", "keep: must be a whole number from 1 to 100"},
        BadValue{"log", "subjects = \"yes\"", "subjects: must be true or false"},
        BadValue{"log", "target = \"syslog\"", R"(target: must be one of "auto", "stderr", "file", "journal")"},
        BadValue{"log", "format = \"xml\"", R"(format: must be one of "text", "json")"},
        BadValue{"log", "level = \"loud\"", R"(level: must be one of "debug", "info", "warning", "error")"},
        BadValue{"log", "level = 3", R"(level: must be one of "debug", "info", "warning", "error")"},
        BadValue{"doubt", "policy = \"resend\"", R"(policy: must be one of "resend_once", "hold", "look_up")"},
        BadValue{"smtp", "client_name = \"a b\"", R"(client_name: "a b" is not a domain name)"},
        BadValue{"smtp", "client_name = \"-a\"", R"(client_name: "-a" is not a domain name)"},
        BadValue{"smtp", "client_name = \".a\"", R"(client_name: ".a" is not a domain name)"},
        BadValue{"smtp", "client_name = 7", "client_name: must be a text in quotes"},
        BadValue{"dispatcher", "connections = 0", "connections: must be a whole number from 1 to 512"},
        BadValue{"dispatcher", "connections = 513", "connections: must be a whole number from 1 to 512"},
        BadValue{"dispatcher", "connections = 1.5", "connections: must be a whole number from 1 to 512"},
        BadValue{"dispatcher", "connections = \"16\"", "connections: must be a whole number from 1 to 512"},
        BadValue{"dispatcher", "connections = 9223372036854775807",
                 "connections: must be a whole number from 1 to 512"},
        BadValue{"retry", "max_attempts = 0", "max_attempts: must be a whole number from 1 to 1000"},
        BadValue{"retry", "max_attempts = 1001", "max_attempts: must be a whole number from 1 to 1000"},
        BadValue{"smtp", "connect = \"99ms\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"301s\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "reply = \"0s\"", "reply: must be a time from 100ms to 1h" + times},
        BadValue{"smtp", "final_reply = \"61m\"", "final_reply: must be a time from 100ms to 1h" + times},
        BadValue{"smtp", "delivery = \"25h\"", "delivery: must be a time from 100ms to 24h" + times},
        BadValue{"retry", "max_age = \"366d\"", "max_age: must be a time from 0s to 365d" + times},
        BadValue{"smtp", "idle = \"-1s\"", "idle: must be a time from 0s to 1h" + times},
        BadValue{"dispatcher", "lease = \"999ms\"", "lease: must be a time from 1s to 1h" + times},
        BadValue{"dispatcher", "poll = \"49ms\"", "poll: must be a time from 50ms to 60s" + times},
        BadValue{"dispatcher", "stop_limit = \"2h\"", "stop_limit: must be a time from 1s to 1h" + times},
        BadValue{"retention", "content = \"59m\"", "content: must be a time from 1h to 3650d" + times},
        BadValue{"retention", "log = \"23h\"", "log: must be a time from 24h to 3650d" + times},
        BadValue{"retention", "log = \"3651d\"", "log: must be a time from 24h to 3650d" + times},
        BadValue{"retention", "idempotency = \"7 d\"", "idempotency: must be a time from 1h to 3650d" + times},
        BadValue{"doubt", "resend_after = \"169h\"", "resend_after: must be a time from 0s to 168h" + times}));

INSTANTIATE_TEST_SUITE_P(
    Durations, BadValueOfServiceFile,
    testing::Values(
        BadValue{"smtp", "connect = 20", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"20\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"s\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"20 s\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"20S\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"1.5s\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"2d\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"99999999999999999999s\"", "connect: must be a time from 100ms to 300s" + times},
        BadValue{"smtp", "connect = \"1000000000h\"", "connect: must be a time from 100ms to 300s" + times}));

TEST(ServiceFile, TakesADurationAtBothOfItsLimits)
{
    EXPECT_EQ(with("smtp", "connect = \"100ms\"").smtp.connect, 100ms);
    EXPECT_EQ(with("smtp", "connect = \"300s\"").smtp.connect, 300s);
    EXPECT_EQ(with("smtp", "connect = \"5m\"").smtp.connect, 300s);
    EXPECT_EQ(with("smtp", "idle = \"0ms\"").smtp.idle, 0ms);
    EXPECT_EQ(with("dispatcher", "connections = 1").dispatcher.connections, 1);
}

// ---- What is missing, unknown or all of it wrong ----

TEST(ServiceFile, NamesEveryRequiredKeyThatIsMissing)
{
    EXPECT_THAT(problems_of(""),
                ElementsAre("m.toml: [installation] name is missing", "m.toml: [installation] domain is missing",
                            "m.toml: [database] connection is missing"));
}

TEST(ServiceFile, TakesNoBlankForARequiredKey)
{
    EXPECT_THAT(problems_of("[installation]\nname = \" \"\ndomain = \"\"\n[database]\nconnection = \"\"\n"),
                ElementsAre("m.toml:2: [installation] name: must not be empty",
                            "m.toml:3: [installation] domain: must not be empty",
                            "m.toml:5: [database] connection: must not be empty"));
}

TEST(ServiceFile, AsksForADomainThatCanStandInAMessageId)
{
    for (const std::string domain : {"a b", "a@b", "ex\\u00e4mple.com", "-a.com", "<a>"}) {
        EXPECT_THAT(problems_of("[installation]\nname = \"erp\"\ndomain = \"" + domain +
                                "\"\n[database]\nconnection = \"x\"\n"),
                    ElementsAre(EndsWith("is not a domain name")))
            << domain;
    }
}

TEST(ServiceFile, SuggestsTheKeyThatWasMeant)
{
    EXPECT_THAT(problems_with("dispatcher", "conections = 4"),
                ElementsAre("m.toml:8: [dispatcher] conections: there is no such key; did you mean connections?"));
    EXPECT_THAT(problems_with("retry", "zzzzzzzzzz = 4"),
                ElementsAre("m.toml:8: [retry] zzzzzzzzzz: there is no such key"));
}

TEST(ServiceFile, SuggestsTheSectionThatWasMeant)
{
    EXPECT_THAT(problems_with("dispacher", "lease = \"1s\""),
                ElementsAre("m.toml:7: dispacher: there is no such section; did you mean dispatcher?"));
    EXPECT_THAT(problems_with("webserver", "port = 80"), ElementsAre("m.toml:7: webserver: there is no such section"));
}

TEST(ServiceFile, WantsASectionToBeATable)
{
    EXPECT_THAT(problems_of("log = \"info\"\n" + complete), ElementsAre("m.toml:1: [log] must be a table"));
    EXPECT_THAT(problems_of(complete + "[[smtp]]\n"), ElementsAre("m.toml:7: [smtp] must be a table"));
}

TEST(ServiceFile, SaysAllThatIsWrongAtOnceEachWithItsLine)
{
    const Problems problems = problems_of(R"([installation]
name = "erp"
domain = "not a domain"
[database]
conection = "host=db"
[smtp]
connect = "soon"
[dispatcher]
connections = 100000
[retri]
max_attempts = 1
[log]
level = "chatty"
)");
    EXPECT_THAT(problems, testing::UnorderedElementsAre(
                              StartsWith("m.toml:3: [installation] domain"), "m.toml: [database] connection is missing",
                              "m.toml:5: [database] conection: there is no such key; did you mean connection?",
                              StartsWith("m.toml:7: [smtp] connect"), StartsWith("m.toml:9: [dispatcher] connections"),
                              "m.toml:10: retri: there is no such section; did you mean retry?",
                              StartsWith("m.toml:13: [log] level")));
}

TEST(ServiceFile, ShowsAKeyOnOneLineWhateverItHolds)
{
    EXPECT_THAT(problems_with("log", R"("a\nb" = 1)"), ElementsAre("m.toml:8: [log] a?b: there is no such key"));
}

TEST(ServiceFile, NamesTheLineThatIsNoToml)
{
    EXPECT_THAT(problems_of("[installation]\nname = \"erp\ndomain = \"x\"\n"), ElementsAre(StartsWith("m.toml:2: ")));
    EXPECT_THAT(problems_of("[installation\n"), ElementsAre(StartsWith("m.toml:1: ")));
    EXPECT_THAT(problems_of("[\n"), ElementsAre(StartsWith("m.toml:1: ")));
    EXPECT_THAT(problems_of(complete + "[retry]\nmax_attempts = 1\nmax_attempts = 2\n"),
                ElementsAre(StartsWith("m.toml:9: ")));
    EXPECT_THAT(problems_of(complete + "# \xFF\n"), SizeIs(1)); // not UTF-8
    EXPECT_THAT(problems_of(std::string("name = \"a\0b\"\n", 13)), SizeIs(1));
}

// ---- Files ----

class ServiceFileOnDisk : public testing::Test {
protected:
    ServiceFileOnDisk()
    {
        std::string name = std::filesystem::temp_directory_path() / "mailroom-test-XXXXXX";
        folder = ::mkdtemp(name.data());
    }
    ~ServiceFileOnDisk() override { std::filesystem::remove_all(folder); }

    std::string folder;
};

TEST_F(ServiceFileOnDisk, IsReadFromItsPath)
{
    const std::string path = folder + "/mailroom.toml";
    std::ofstream(path) << complete;
    const auto file = load_service_file(path);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->path, path);
    EXPECT_EQ(file->installation.name, "erp");
}

TEST_F(ServiceFileOnDisk, MayBeginWithAByteOrderMark)
{
    const std::string path = folder + "/mailroom.toml";
    std::ofstream(path) << "\xEF\xBB\xBF" << complete;
    EXPECT_TRUE(load_service_file(path));
}

TEST_F(ServiceFileOnDisk, IsMissedByItsPathAndWithWhatToDo)
{
    const std::string path = folder + "/none.toml";
    const auto file = load_service_file(path);
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error(), ElementsAre(testing::AllOf(StartsWith(path + ": No such file"), HasSubstr("--config"))));
}

TEST_F(ServiceFileOnDisk, IsNoFolder)
{
    const auto file = load_service_file(folder);
    ASSERT_FALSE(file);
    EXPECT_THAT(file.error(), ElementsAre(StartsWith(folder + ": ")));
}

} // namespace
} // namespace mailroom
