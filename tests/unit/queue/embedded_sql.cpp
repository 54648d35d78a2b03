#include "queue/embedded_sql.hpp"

#include "queue/migrate.hpp"
#include "queue/sql.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace mailroom::queue {
namespace {

namespace fs = std::filesystem;

std::vector<EmbeddedSql> folder(std::string_view name)
{
    std::vector<EmbeddedSql> found;
    std::ranges::copy_if(embedded_sql(), std::back_inserter(found),
                         [&](const EmbeddedSql& file) { return file.folder == name; });
    return found;
}

std::string octets_of(const fs::path& path)
{
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

// Where the sources are; this file's own path is tests/unit/queue/embedded_sql.cpp.
fs::path sources()
{
    return fs::path(__FILE__).parent_path().parent_path().parent_path().parent_path() / "queue";
}

TEST(EmbeddedSql, IsEveryFileOctetByOctet)
{
    if (!fs::exists(sources()))
        GTEST_SKIP() << "the sources are not where they were built";
    std::vector<std::string> files;
    for (const auto* const name : {"migrations", "sql"}) {
        for (const auto& entry : fs::directory_iterator(sources() / name))
            files.push_back(std::string(name) + "/" + entry.path().stem().string());
    }
    std::vector<std::string> embedded;
    for (const EmbeddedSql& file : embedded_sql()) {
        const std::string name = std::string(file.folder) + "/" + std::string(file.name);
        embedded.push_back(name);
        EXPECT_EQ(file.text, octets_of(sources() / (name + ".sql"))) << name;
    }
    EXPECT_THAT(embedded, testing::UnorderedElementsAreArray(files));
}

TEST(EmbeddedSql, NumbersMigrationsFromOneWithoutAGap)
{
    int expected = 0;
    for (const EmbeddedSql& file : folder("migrations")) {
        int version = 0;
        const auto [end, error] = std::from_chars(file.name.data(), file.name.data() + 4, version);
        EXPECT_EQ(end, file.name.data() + 4) << file.name;
        EXPECT_EQ(file.name.substr(4, 1), "_") << file.name;
        EXPECT_EQ(version, ++expected) << file.name;
    }
    EXPECT_GT(expected, 0);
    EXPECT_EQ(newest_schema(), expected);
}

TEST(EmbeddedSql, BeginsEveryStatementWithWhatItIsFor)
{
    for (const EmbeddedSql& file : embedded_sql())
        EXPECT_TRUE(file.text.starts_with("-- ")) << file.name;
}

TEST(EmbeddedSql, IsFoundByItsName)
{
    for (const EmbeddedSql& file : folder("sql")) {
        const pg::Statement statement = sql(file.name);
        EXPECT_EQ(statement.name, file.name);
        EXPECT_EQ(statement.sql, file.text);
    }
}

// By name, because a statement that the program asks for and that is not there is found only when it is asked for.
TEST(EmbeddedSql, HasEveryStatementThatTheProgramAsksFor)
{
    for (const auto* const name : {"accounts",
                                   "adopt",
                                   "attachments",
                                   "batches",
                                   "beat",
                                   "blob_slice",
                                   "blobs",
                                   "block_route",
                                   "claim",
                                   "complete",
                                   "content",
                                   "dead_rows",
                                   "depth",
                                   "empty_generation",
                                   "expire",
                                   "forget_keys",
                                   "forget_small",
                                   "grant_recipients",
                                   "hand_back",
                                   "held_alike",
                                   "late_outcome",
                                   "limits",
                                   "line",
                                   "list",
                                   "load_documents",
                                   "load_general",
                                   "load_limits",
                                   "load_refusals",
                                   "load_users",
                                   "note_login",
                                   "orphans",
                                   "own_route",
                                   "pins",
                                   "place",
                                   "present_database",
                                   "reap",
                                   "recipient_results",
                                   "refuse_login",
                                   "refuse_sender",
                                   "record_decisions",
                                   "register",
                                   "release",
                                   "release_alike",
                                   "release_place",
                                   "resign",
                                   "retry_senders",
                                   "route",
                                   "routes",
                                   "story",
                                   "suspend",
                                   "turn_ring",
                                   "unpark",
                                   "unpin_generation"})
        EXPECT_NO_THROW(sql(name)) << name;
}

TEST(EmbeddedSql, ThrowsForANameThatIsNone)
{
    EXPECT_THROW(sql("no_such_statement"), std::logic_error);
    EXPECT_THROW(sql("0001_installation"), std::logic_error); // a migration is no statement
}

} // namespace
} // namespace mailroom::queue
