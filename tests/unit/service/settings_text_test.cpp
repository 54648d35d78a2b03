#include "service/settings_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

json::value sample_export()
{
    return json::parse(R"({"models": [], "format": "mailroom settings 1", "version": 12,
        "general": {"port": 587, "from": "B\u00fcro \"X\" \\ <b@x.example>", "mode": "smtp", "use_ssl": true},
        "users": [{"port": 25, "code": "O'Neil"}, {"code": "B=1 # no comment"}], "rows": [{"mode": "general", "code": "I"}]})");
}

json::value table(std::string_view text)
{
    return settings_from_csv(text, "users").value().settings.at("users");
}

std::string complaint(std::string_view text)
{
    const auto read = settings_from_csv(text, "users");
    return read ? "none" : read.error().text;
}

TEST(SettingsText, WhatIsWrittenIsReadAgainTheSame)
{
    EXPECT_EQ(json::value(settings_from_json(settings_as_json(sample_export())).value()), sample_export());
    json::object from_toml = settings_from_toml(settings_as_toml(sample_export())).value();
    from_toml.emplace("models", json::array()); // an empty list of tables is not written
    EXPECT_EQ(json::value(from_toml), sample_export());
}

TEST(SettingsText, KeysStandInTheOrderOfTheDocumentation)
{
    EXPECT_THAT(settings_as_toml(sample_export()), HasSubstr("[general]\nmode = \"smtp\"\nfrom = "));
    EXPECT_THAT(settings_as_json(sample_export()), HasSubstr(R"({"code": "O'Neil", "port": 25})"));
}

TEST(SettingsText, ATableThatIsWrittenIsReadAgainTheSame)
{
    const json::value rows = json::parse(R"([
        {"code": "A;B", "kind": "form", "name": "x, \"y\"\r\nz", "from": "", "mode": "general"},
        {"code": "\"C\"", "kind": "report", "name": " B\u00fcro ", "from": "B <b@x.example>", "mode": "not_configured"}])");
    const std::string text = settings_as_csv({{"rows", rows}}, "rows");
    EXPECT_EQ(settings_from_csv(text, "rows").value().settings.at("rows"), rows);
    EXPECT_EQ(settings_as_csv({{"models", json::array()}}, "models"), "code,name,from,mode\n");
}

TEST(SettingsText, ATableHasNumbersAndTruthsAsAPersonWritesThem)
{
    const json::value user = json::parse(R"({"code": "ANNA", "name": "", "enabled": true, "email": "", "mode": "smtp",
        "account": "", "from": "", "server": "s.example", "port": 25, "use_ssl": false, "login": true,
        "allow_cleartext": false, "send_as": false, "has_password": true, "has_token": false})");
    EXPECT_EQ(settings_as_csv({{"users", json::array{user}}}, "users"),
              "code,name,enabled,email,mode,account,from,server,port,use_ssl,login,allow_cleartext,send_as\n"
              "ANNA,,true,,smtp,,,s.example,25,false,true,false,false\n");
}

TEST(SettingsText, WhatIsNoTextOfItsKindIsRefusedWithTheReason)
{
    EXPECT_THAT(settings_from_json("{").error().text, HasSubstr("not JSON"));
    EXPECT_THAT(settings_from_json("[1]").error().text, HasSubstr("object"));
    EXPECT_THAT(settings_from_toml("a = 1\nb = ").error().text, HasSubstr("line 2"));
    EXPECT_EQ(settings_from_toml("[[users]]\nat = 1979-05-27\n").value().at("users").at(0).at("at"),
              json::value("a date or a time")); // the database refuses it with its place
}

TEST(SettingsText, ATablesCellsMayBeQuotedAndGoOverLines)
{
    const auto read = settings_from_csv("\xEF\xBB\xBF"
                                        "code,name\r\nA,\"x, \"\"y\"\"\r\nz\"\r\n\r\n B ,\r\n",
                                        "users")
                          .value();
    EXPECT_EQ(read.settings.at("users"),
              json::parse(R"([{"code": "A", "name": "x, \"y\"\r\nz"}, {"code": " B ", "name": ""}])"));
    EXPECT_EQ(json::value(read.lines), json::parse("[2, 5]"));
}

TEST(SettingsText, ATableOfSemicolonsIsOneWhereItsHeaderIs)
{
    EXPECT_EQ(table("code;name\nA;x, y\n"), json::parse(R"([{"code": "A", "name": "x, y"}])"));
}

TEST(SettingsText, AnEmptyCellSaysNothingWhereNoTextBelongs)
{
    EXPECT_EQ(table("code,email,port,use_ssl,mode\nA,,,,\n"), json::parse(R"([{"code": "A", "email": ""}])"));
    EXPECT_EQ(settings_from_csv("code,mode\nA,\n", "rows").value().settings.at("rows"),
              json::parse(R"([{"code": "A", "mode": ""}])"));
}

TEST(SettingsText, ATableThatDoesNotAddUpIsRefusedWithItsLines)
{
    EXPECT_EQ(complaint("code,name\nA\nB,x\nC,x,y\n"),
              "line 2: 1 cells, where the header has 2\nline 4: 3 cells, where the header has 2");
    EXPECT_THAT(complaint("name\nx\n"), HasSubstr("no column \"code\""));
    EXPECT_THAT(complaint("code,code\n"), HasSubstr("code twice"));
    EXPECT_THAT(complaint("code,\n"), HasSubstr("an empty column"));
    EXPECT_THAT(complaint("code\n\"A\n\n"), HasSubstr("line 2: a quote is never closed"));
    EXPECT_THAT(complaint(""), HasSubstr("line 1"));
}

TEST(SettingsText, SecretsAreFoundWhereverTheyStandAndWhateverTheirCase)
{
    EXPECT_THAT(
        secrets_in(json::parse(R"({"general": {"Password": 1, "has_password": true}, "users": [{"code": "token"},
                                           {" token ": {"secret": 2}}], "SECRET": []})")),
        testing::UnorderedElementsAre("general.Password", "users[1]. token ", "SECRET"));
    EXPECT_THAT(secrets_in(sample_export()), testing::IsEmpty());
}

} // namespace
} // namespace mailroom
