// How long sessions of TLS are kept, and of which servers: by a clock of the test, over a link in memory.
#include "tests/support/scripted_peer.hpp"
#include "transport/tls.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/context.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

namespace mailroom::tls {
namespace {

using namespace std::chrono_literals;
using namespace mailroom::test;

struct Free {
    void operator()(SSL* session) const { SSL_free(session); }
};
using Side = std::unique_ptr<SSL, Free>;

class Sessions : public testing::TestWithParam<int> {
protected:
    Sessions()
    {
        server.use_certificate_chain(boost::asio::buffer(certificate.certificate));
        server.use_private_key(boost::asio::buffer(certificate.key), boost::asio::ssl::context::pem);
        SSL_CTX_set_max_proto_version(server.native_handle(), GetParam());
    }

    ClientContext make_client()
    {
        const TemporaryFile authority(certificate.certificate);
        return ClientContext::make(authority.path(), [this] { return now; }).value();
    }

    // The handshake of a connection with `name`, and the sessions that come behind it. Whether it was resumed.
    bool connect(const std::string& name)
    {
        const Side ours(SSL_new(client.native().native_handle()));
        const Side theirs(SSL_new(server.native_handle()));
        BIO* near = nullptr;
        BIO* far = nullptr;
        BIO_new_bio_pair(&near, 0, &far, 0);
        SSL_set_bio(ours.get(), near, near);
        SSL_set_bio(theirs.get(), far, far);
        SSL_set_connect_state(ours.get());
        SSL_set_accept_state(theirs.get());
        expect_host(ours.get(), "127.0.0.1");
        client.resume(ours.get(), name);
        constexpr int turns = 10;
        for (int i = 0; i < turns; ++i) {
            SSL_do_handshake(ours.get());
            SSL_do_handshake(theirs.get());
        }
        if (SSL_is_init_finished(ours.get()) != 1 || SSL_is_init_finished(theirs.get()) != 1)
            throw std::logic_error("the handshake failed");
        char nothing = 0;
        SSL_read(ours.get(), &nothing, 1);
        return SSL_session_reused(ours.get()) == 1;
    }

    Certificate certificate = make_certificate("127.0.0.1");
    boost::asio::ssl::context server{boost::asio::ssl::context::tls_server};
    ClientContext::Time now;
    ClientContext client = make_client();
};

INSTANTIATE_TEST_SUITE_P(Tls, Sessions, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST_P(Sessions, AreResumedUntilTheirAgeIsReached)
{
    EXPECT_FALSE(connect("a:25"));
    now += ClientContext::max_session_age;
    EXPECT_TRUE(connect("a:25"));
    now += 1s;
    EXPECT_FALSE(connect("a:25"));
}

// Each resumed connection hands out new ones.
TEST_P(Sessions, DoNotLiveLongerForBeingResumed)
{
    for (int round = 0; round < 3; ++round) {
        EXPECT_FALSE(connect("a:25")) << "the certificate is verified again";
        for (int i = 0; i < 6; ++i) {
            now += 10min;
            EXPECT_TRUE(connect("a:25"));
        }
        now += 1s;
    }
}

TEST_P(Sessions, AreAsOldAsTheHandshakeThatVerifiedHoweverManyAreKept)
{
    EXPECT_FALSE(connect("a:25"));
    now += 1h;
    for (int i = 0; i < 20; ++i)
        EXPECT_TRUE(connect("a:25"));
    now += 1s;
    EXPECT_FALSE(connect("a:25"));
}

TEST_P(Sessions, OfTheServerThatWasVerifiedLongestAgoMakeRoomForAnother)
{
    const auto first_contact = [this](const std::string& name) {
        EXPECT_FALSE(connect(name));
        now += 1s;
    };
    first_contact("z:25");
    first_contact("a:25");
    for (int i = 0; i < 254; ++i)
        first_contact("m" + std::to_string(i) + ":25");
    first_contact("n:25"); // the 257th
    EXPECT_TRUE(connect("a:25"));
    EXPECT_TRUE(connect("n:25"));
    EXPECT_FALSE(connect("z:25"));
}

} // namespace
} // namespace mailroom::tls
