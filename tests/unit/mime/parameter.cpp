#include "transport/mime/parameter.hpp"

#include "sample.hpp"

#include <gmock/gmock.h>

namespace mailroom::mime {
namespace {

using testing::HasSubstr;
using testing::Le;

std::string disposition(std::string_view name)
{
    std::string out;
    append_content_disposition(out, Disposition::attachment, name);
    return out;
}

std::string type(std::string_view name)
{
    std::string out;
    append_content_type(out, MediaType::make("application/pdf").value(), name);
    return out;
}

TEST(FileName, ThatIsPlainStandsInQuotesInBothFields)
{
    EXPECT_EQ(disposition("invoice 42.pdf"), "Content-Disposition: attachment;\r\n filename=\"invoice 42.pdf\"\r\n");
    EXPECT_EQ(type("invoice 42.pdf"), "Content-Type: application/pdf;\r\n name=\"invoice 42.pdf\"\r\n");
}

TEST(FileName, ThatIsNotAsciiStandsInThreeForms)
{
    EXPECT_EQ(disposition("Grüße.pdf"), "Content-Disposition: attachment;\r\n"
                                        " filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf;\r\n"
                                        " filename=\"Gr__e.pdf\"\r\n");
    EXPECT_EQ(type("Grüße.pdf"), "Content-Type: application/pdf;\r\n name=\"=?UTF-8?B?R3LDvMOfZS5wZGY=?=\"\r\n");
}

TEST(FileName, EscapesItsQuotes)
{
    EXPECT_EQ(disposition("a\"b\".pdf"), "Content-Disposition: attachment;\r\n filename=\"a\\\"b\\\".pdf\"\r\n");
}

TEST(FileName, KeepsSemicolonsFromBecomingParameters)
{
    EXPECT_THAT(disposition("x; filename=evil.exe"), HasSubstr("filename=\"x; filename=evil.exe\""));
    EXPECT_THAT(disposition("é\"; filename=evil.exe"),
                HasSubstr("filename*=UTF-8''%C3%A9%22%3B%20filename%3Devil.exe;\r\n"));
    EXPECT_THAT(disposition("é\"; filename=evil.exe"), HasSubstr(" filename=\"__; filename_evil.exe\"\r\n"));
}

TEST(FileName, ThatIsLongIsContinuedWithoutCuttingACharacter)
{
    std::string name;
    for (int i = 0; i < 100; ++i)
        name += "資";
    const std::string written = disposition(name + ".pdf");
    EXPECT_THAT(lines(written), testing::Each(testing::SizeIs(Le(78U))));
    EXPECT_THAT(written, HasSubstr("\r\n filename*0*=UTF-8''%E8%B3%87"));
    EXPECT_THAT(written, HasSubstr(";\r\n filename*1*=%E8%B3%87"));
    EXPECT_THAT(written, HasSubstr(";\r\n filename=\"" + std::string(54, '_') + ".pdf\"\r\n"));
    for (const std::string_view line : lines(type(name + ".pdf")))
        EXPECT_LE(line.size(), 76U);
}

TEST(FileName, OfTheGreatestLengthStillFoldsBelow78)
{
    const std::string name(HeaderText::max_size, '%');
    EXPECT_THAT(lines(disposition(name)), testing::Each(testing::SizeIs(Le(78U))));
    EXPECT_THAT(lines(type(name)), testing::Each(testing::SizeIs(Le(78U))));
}

TEST(FileName, CannotPassForAnEncodedWord)
{
    EXPECT_THAT(disposition("=?UTF-8?Q?x?="), HasSubstr("filename*=UTF-8''%3D%3FUTF-8%3FQ%3Fx%3F%3D;"));
    EXPECT_THAT(disposition("=?UTF-8?Q?x?="), HasSubstr("filename=\"__UTF-8_Q_x__\""));
}

TEST(FileName, LosesItsPath)
{
    EXPECT_EQ(safe_file_name("../../etc/passwd"), ".._.._etc_passwd");
    EXPECT_EQ(safe_file_name("C:\\a\\b.exe"), "C:_a_b.exe");
}

TEST(FileName, ThatIsEmptyIsLeftOut)
{
    EXPECT_EQ(disposition(""), "Content-Disposition: attachment\r\n");
    EXPECT_EQ(type(""), "Content-Type: application/pdf\r\n");
}

} // namespace
} // namespace mailroom::mime
