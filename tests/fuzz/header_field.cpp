// Header fields: whatever proved text a producer gives, the field is lines that any server takes, and a reader who
// knows no more than RFC 5322 and RFC 2047 gets the text back.
#include "transport/mime/header_field.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace mailroom;
using fuzz::require;

namespace {

constexpr std::size_t max_line = 998; // octets, RFC 5322 section 2.1.1

void check_lines(std::string_view field)
{
    require(field.ends_with("\r\n"), "a field ends with CRLF");
    bool first = true;
    while (!field.empty()) {
        const std::size_t end = field.find("\r\n");
        const std::string_view line = field.substr(0, end);
        require(line.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos, "no bare CR, LF or NUL");
        require(line.size() <= max_line, "no line is longer than 998 octets");
        require(std::all_of(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }),
                "all octets are 7-bit");
        require(first || line.front() == ' ', "a line that is not the first begins with a blank");
        require(first || line.find_first_not_of(' ') != std::string_view::npos, "no line is blanks alone");
        first = false;
        field.remove_prefix(end + 2);
    }
}

// RFC 2047 section 2: a line that has an encoded word is at most 76 characters long. Not for fields that stand as the
// producer wrote them.
void check_encoded_lines(std::string_view field)
{
    while (!field.empty()) {
        const std::string_view line = field.substr(0, field.find("\r\n"));
        require(line.size() <= 76 || line.find("=?UTF-8?") == std::string_view::npos,
                "an encoded word stands on a line of at most 76 characters");
        field.remove_prefix(line.size() + 2);
    }
}

// The value of a field: what stands behind "Name:", its folds undone (section 2.2.3).
std::string unfolded(std::string_view field, std::string_view name)
{
    require(field.starts_with(std::string(name) + ":"), "the field has its name");
    field.remove_prefix(name.size() + 1);
    std::string value;
    for (std::size_t i = 0; i < field.size(); ++i) {
        if (field.substr(i, 2) == "\r\n")
            ++i;
        else
            value += field[i];
    }
    if (value.starts_with(' '))
        value.erase(0, 1);
    return value;
}

int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string from_q(std::string_view payload)
{
    std::string result;
    for (std::size_t i = 0; i < payload.size(); ++i) {
        if (payload[i] != '=') {
            result += payload[i] == '_' ? ' ' : payload[i];
            continue;
        }
        require(i + 2 < payload.size() && hex(payload[i + 1]) >= 0 && hex(payload[i + 2]) >= 0,
                "Q has two upper-case digits behind =");
        result += static_cast<char>(hex(payload[i + 1]) * 16 + hex(payload[i + 2]));
        i += 2;
    }
    return result;
}

std::string from_b(std::string_view payload)
{
    static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    require(payload.size() % 4 == 0, "B is whole groups of four");
    std::string result;
    unsigned bits = 0;
    int count = 0;
    for (const char c : payload.substr(0, payload.find('='))) {
        const std::size_t value = alphabet.find(c);
        require(value != std::string_view::npos, "B is of its alphabet");
        bits = bits << 6 | static_cast<unsigned>(value);
        count += 6;
        if (count >= 8) {
            count -= 8;
            result += static_cast<char>(bits >> count & 0xFF);
        }
    }
    return result;
}

// The text of an encoded word (RFC 2047 section 2), or nothing where `word` is not one.
std::optional<std::string> encoded_word(std::string_view word)
{
    constexpr std::string_view opening = "=?UTF-8?";
    if (!word.starts_with(opening) || !word.ends_with("?=") || word.size() < opening.size() + 4)
        return std::nullopt;
    const char encoding = word[opening.size()];
    const std::string_view payload = word.substr(opening.size() + 2, word.size() - opening.size() - 4);
    if (word[opening.size() + 1] != '?' || payload.find('?') != std::string_view::npos)
        return std::nullopt;
    require(word.size() <= 75, "an encoded word has at most 75 characters");
    require(encoding == 'B' || encoding == 'Q', "its encoding is B or Q");
    std::string text = encoding == 'B' ? from_b(payload) : from_q(payload);
    require(is_utf8(text), "an encoded word has whole characters");
    return text;
}

// As a reader shows it: blanks between two encoded words are not there (section 6.2).
std::string decoded(std::string_view value)
{
    std::string result;
    bool after_encoded = false;
    while (!value.empty()) {
        const std::size_t word = std::min(value.find_first_not_of(' '), value.size());
        const std::size_t end = std::min(value.find(' ', word), value.size());
        const auto text = encoded_word(value.substr(word, end - word));
        if (!(after_encoded && text))
            result += value.substr(0, word);
        result += text ? *text : std::string(value.substr(word, end - word));
        after_encoded = text.has_value();
        value.remove_prefix(end);
    }
    return result;
}

// One mailbox of an address list: its phrase as it stands and its address; takes it off `list`.
std::pair<std::string, std::string> take_mailbox(std::string_view& list)
{
    bool in_quotes = false;
    std::size_t end = 0;
    for (; end < list.size() && (in_quotes || list[end] != ','); ++end) {
        if (in_quotes && list[end] == '\\')
            ++end;
        else if (list[end] == '"')
            in_quotes = !in_quotes;
    }
    require(!in_quotes, "a quoted string is closed");
    const std::string_view mailbox = trimmed(list.substr(0, end));
    list.remove_prefix(std::min(list.size(), end + 1));
    if (!mailbox.ends_with('>'))
        return {"", std::string(mailbox)};
    const std::size_t angle = mailbox.rfind('<');
    require(angle != std::string_view::npos, "an angle bracket is opened");
    return {std::string(trimmed(mailbox.substr(0, angle))),
            std::string(mailbox.substr(angle + 1, mailbox.size() - angle - 2))};
}

std::string phrase(std::string_view text)
{
    if (!text.starts_with('"'))
        return decoded(text);
    require(text.size() >= 2 && text.ends_with('"'), "a quoted string is all of the name");
    std::string result;
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
        if (text[i] == '\\')
            ++i;
        result += text[i];
    }
    return result;
}

void check_addresses(const std::vector<NamedAddress>& addresses)
{
    std::string field;
    mime::append_addresses(field, "Reply-To", addresses);
    check_lines(field);
    check_encoded_lines(field);
    const std::string value = unfolded(field, "Reply-To");
    std::string_view list = value;
    for (const NamedAddress& wanted : addresses) {
        const auto [name, address] = take_mailbox(list);
        require(address == wanted.address.str(), "every address stands where it should");
        require(phrase(name) == wanted.name.str(), "every name is read back");
    }
    require(trimmed(list).empty(), "there is no other address");
}

void check_unstructured(const HeaderText& text)
{
    for (const auto kind : {mime::Unstructured::prose, mime::Unstructured::token}) {
        std::string field;
        mime::append_unstructured(field, "Subject", text, kind);
        check_lines(field);
        check_encoded_lines(field);
        require(decoded(unfolded(field, "Subject")) == text.str(), "the text is read back");
    }
}

void check_producers(const HeaderName& name, const HeaderText& text)
{
    std::string field;
    mime::append_producers_header(field, name, text);
    check_lines(field);
    const std::string value = unfolded(field, name.str());
    // Fields without encoded words (References and the like) stand as they are, without blanks at the ends.
    require(decoded(value) == text.str() || value == trimmed(text.str()), "a producer's text is read back");
}

HeaderText header_text(std::string_view text)
{
    auto made = HeaderText::make(std::string(text));
    return made ? *std::move(made) : HeaderText();
}

} // namespace

// The input's parts lie between NULs: a field's name, its text, then names of people.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static constexpr std::array<const char*, 3> people = {"a@example.com", "first.last+tag@mail.example.org",
                                                          "o'brien@a-domain-that-is-rather-long.example.net"};
    std::string_view input = fuzz::text_of(data, size);
    const auto name = HeaderName::make(std::string(fuzz::take_until(input, '\0')));
    const HeaderText text = header_text(fuzz::take_until(input, '\0'));
    check_unstructured(text);
    if (name)
        check_producers(*name, text);
    std::vector<NamedAddress> addresses;
    do {
        auto address = MailAddress::parse(people.at(addresses.size() % people.size())).value();
        addresses.push_back({header_text(fuzz::take_until(input, '\0')), std::move(address)});
    } while (!input.empty() && addresses.size() < 50);
    check_addresses(addresses);
    return 0;
}
