// The composer: whatever a producer may write comes out as lines of 7-bit octets, of the size that was announced.
#include "transport/mime/composer.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string>
#include <utility>
#include <vector>

using namespace mailroom;
using fuzz::require;

namespace {

std::string octets_of(const mime::Message& message, const mime::Composition& composition)
{
    std::string result;
    for (const mime::Piece& piece : composition.pieces) {
        const auto* literal = std::get_if<std::string>(&piece);
        if (literal != nullptr) {
            require(literal->empty() || literal->ends_with("\r\n"), "every piece is whole lines");
            result += *literal;
        } else {
            const auto& attachment = message.attachments.at(std::get<mime::EncodedAttachment>(piece).index);
            mime::append_base64_lines(result, std::string(attachment.size, 'x'));
        }
    }
    return result;
}

void check_lines(std::string_view text)
{
    constexpr std::size_t max_line = 998; // octets, RFC 5322 section 2.1.1
    while (!text.empty()) {
        const std::size_t end = text.find("\r\n");
        require(end != std::string_view::npos, "every line ends with CRLF");
        const std::string_view line = text.substr(0, end);
        require(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos, "no bare CR, LF or NUL");
        require(line.size() <= max_line, "no line is longer than 998 octets");
        text.remove_prefix(end + 2);
    }
}

bool has_field(std::string_view header, std::string_view name)
{
    return ("\r\n" + std::string(header)).find("\r\n" + std::string(name) + ":") != std::string::npos;
}

// Behind everything else: priority, link to unsubscribe, its address, method and content of a calendar.
void add_optional(mime::Message& message, std::string_view& input, std::string& calendar)
{
    if (auto priority = mime::priority_from(fuzz::take_until(input, '\0')))
        message.priority = *priority;
    auto url = mime::HttpsUrl::make(fuzz::take_until(input, '\0'));
    auto mailto = MailAddress::parse(fuzz::take_until(input, '\0'));
    if (url) {
        message.unsubscribe = {*std::move(url), std::nullopt};
        if (mailto)
            message.unsubscribe->mailto = *std::move(mailto);
    }
    auto method = mime::CalendarMethod::make(fuzz::take_until(input, '\0'));
    calendar = fuzz::take_until(input, '\0');
    if (method && is_utf8(calendar))
        message.calendar = {*std::move(method), calendar};
}

// The input's parts lie between NULs, which no text may have.
mime::Message message_of(std::string_view& input, std::string& text, std::string& html, std::string& calendar)
{
    const auto header = [&] {
        auto made = HeaderText::make(std::string(fuzz::take_until(input, '\0')));
        return made ? *std::move(made) : HeaderText();
    };
    const auto address = [](const char* of) { return MailAddress::parse(of).value(); };
    mime::Message message{.uid = "7-42",
                          .message_id = "7-42@mail.example.com",
                          .date = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1),
                          .from = {header(), address("a@example.com")},
                          .sender = std::nullopt,
                          .to = {{header(), address("b@example.org")}},
                          .cc = {},
                          .reply_to = {},
                          .subject = header(),
                          .priority = mime::Priority::normal,
                          .unsubscribe = std::nullopt,
                          .headers = {},
                          .text = std::nullopt,
                          .html = std::nullopt,
                          .calendar = std::nullopt,
                          .attachments = {}};
    const HeaderText file_name = header();
    if (auto name = HeaderName::make(std::string(fuzz::take_until(input, '\0'))))
        message.headers.emplace_back(*std::move(name), header());
    text = fuzz::take_until(input, '\0');
    html = fuzz::take_until(input, '\0');
    if (is_utf8(text))
        message.text = text;
    if (is_utf8(html) && !html.empty())
        message.html = html;
    if (!file_name.empty())
        message.attachments.push_back({file_name, mime::MediaType::make("image/png").value(),
                                       mime::ContentId::make(fuzz::take_until(input, '\0')).has_value()
                                           ? std::optional(mime::ContentId::make("logo").value())
                                           : std::nullopt,
                                       100});
    add_optional(message, input, calendar);
    return message;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view input = fuzz::text_of(data, size);
    std::string text;
    std::string html;
    std::string calendar;
    const mime::Message message = message_of(input, text, html, calendar);
    const mime::Composition composition = mime::compose(message);
    const std::string octets = octets_of(message, composition);

    require(octets.size() == composition.size, "the size is exact before the first octet");
    check_lines(octets);
    require(std::all_of(octets.begin(), octets.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }),
            "all octets are 7-bit where all addresses are");
    require(octets_of(message, mime::compose(message)) == octets, "the same message is the same octets");

    const std::string_view header = std::string_view(octets).substr(0, octets.find("\r\n\r\n") + 2);
    for (const auto* const name : {"Date", "From", "To", "Subject", "Message-ID", "MIME-Version"})
        require(has_field(header, name), "every field is there");
    if (message.headers.empty() || !equals_ignoring_ascii_case(message.headers.front().first.str(), "X-Injected"))
        require(!has_field(header, "X-Injected"), "nothing becomes a field of its own");
    require(!has_field(header, "Bcc"), "there is no Bcc");
    if (message.unsubscribe) {
        require(header.find("\r\nList-Unsubscribe: <" + message.unsubscribe->url.str() + ">") != std::string_view::npos,
                "a link is never folded");
        require(has_field(header, "List-Unsubscribe-Post"), "one click is offered");
    }
    if (message.calendar)
        require(octets.find("text/calendar; method=" + message.calendar->method.str() + ";") != std::string::npos,
                "the calendar is there with its method");
    return 0;
}
