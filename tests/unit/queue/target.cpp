#include "queue/pg/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mailroom::pg {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Target, NamesEveryHostOfAConnectionString)
{
    EXPECT_THAT(target_of("host=db1,db2 dbname=erp").hosts, ElementsAre("db1", "db2"));
    EXPECT_THAT(target_of("postgresql://db1:5432,db2:5433/erp").hosts, ElementsAre("db1", "db2"));
    EXPECT_THAT(target_of("host=db1 hostaddr=192.0.2.1").hosts, ElementsAre("192.0.2.1"));
}

TEST(Target, NamesNoSocketsAndNothingOfAStringThatIsNone)
{
    EXPECT_THAT(target_of("host=/run/postgresql,db2").hosts, ElementsAre("db2"));
    EXPECT_THAT(target_of("host='db1").hosts, IsEmpty());
}

TEST(Target, KnowsAPasswordOnlyWhereTheStringHoldsOne)
{
    EXPECT_TRUE(target_of("host=db1 password=x").has_password);
    EXPECT_TRUE(target_of("postgresql://anna:x@db1/erp").has_password);
    EXPECT_FALSE(target_of("host=db1 passfile=/etc/pgpass").has_password);
}

} // namespace
} // namespace mailroom::pg
