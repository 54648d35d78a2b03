// Until when a server's certificate is in force, for who wants to know it before it has expired.
#include "tests/unit/smtp/session.hpp"

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;

TEST_F(Session, KnowsUntilWhenTheServersCertificateIsInForce)
{
    const auto before = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const Certificate certificate = make_certificate("127.0.0.1"); // for a day from now on
    trust(certificate);
    server.security = Security::implicit_tls;
    start_peer({Script{StartTls{}} + opened() + quit_taken}, certificate);
    run(do_open());
    ASSERT_TRUE(connection);
    const auto end = connection->certificate_end();
    run(close(std::move(connection)));
    ASSERT_TRUE(end);
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    EXPECT_GE(*end, before + 24h);
    EXPECT_LE(*end, now + 24h);
}

TEST_F(Session, KnowsOfNoCertificateWithoutEncryption)
{
    start_peer({opened() + quit_taken});
    run(do_open());
    ASSERT_TRUE(connection);
    EXPECT_FALSE(connection->certificate_end());
    run(close(std::move(connection)));
}

} // namespace
} // namespace mailroom::smtp
