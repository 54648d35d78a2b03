#include "transport/mime/message.hpp"

#include <gtest/gtest.h>

namespace mailroom::mime {
namespace {

TEST(MediaType, IsTypeAndSubtypeWithoutParameters)
{
    for (const std::string_view good :
         {"text/plain", "application/vnd.ms-excel", "image/svg+xml", "x/y", "a1/b#!$&-^_.+"})
        EXPECT_TRUE(MediaType::make(good)) << good;
    for (const std::string_view bad :
         {"", "text", "/", "text/", "/plain", "text/plain; charset=x", "text /plain", "text/pl ain", "te\r\nxt/plain",
          "text/a/b", "text/\"x\"", "-a/b", "t\xC3\xA9xt/plain", "a/b\r\nBcc: x@y"})
        EXPECT_FALSE(MediaType::make(bad)) << bad;
    EXPECT_TRUE(MediaType::make("a/" + std::string(127, 'b')));
    EXPECT_FALSE(MediaType::make("a/" + std::string(128, 'b')));
}

TEST(MediaType, IsTheSameInAnyCase)
{
    EXPECT_EQ(MediaType::make("Application/PDF").value().str(), "application/pdf");
}

TEST(ContentId, IsPrintableAsciiWithoutBlanksAndBrackets)
{
    EXPECT_EQ(ContentId::make("logo@example.com").value().str(), "logo@example.com");
    EXPECT_TRUE(ContentId::make(std::string(200, 'x')));
    EXPECT_FALSE(ContentId::make(std::string(201, 'x')));
    for (const std::string_view bad : {"", "<a@b>", "a b", "a\r\nBcc: x@y", "\xC3\xA9", "a\x7F"})
        EXPECT_FALSE(ContentId::make(bad)) << bad;
}

TEST(ProducersHeader, MayNotBeOneThatTheComposerWrites)
{
    const auto ours = [](std::string name) {
        return is_written_by_composer(HeaderName::make(std::move(name)).value());
    };
    for (const char* name : {"Date", "from", "SENDER", "Reply-To", "To", "Cc", "Bcc", "bcc", "Subject", "Message-ID",
                             "MIME-Version", "Content-Type", "content-anything", "Return-Path", "Resent-Bcc"})
        EXPECT_TRUE(ours(name)) << name;
    for (const char* name : {"X-Order", "References", "Auto-Submitted", "List-Unsubscribe", "Contents", "X-Bcc"})
        EXPECT_FALSE(ours(name)) << name;
}

} // namespace
} // namespace mailroom::mime
