#include "transport/mime/header_field.hpp"

#include "transport/mime/encoded_word.hpp"
#include "transport/mime/plain_text.hpp"

#include <algorithm>
#include <array>

namespace mailroom::mime {
namespace {

// Longer runs of blanks are encoded: no line may consist of blanks alone.
constexpr std::size_t max_blanks = 40;

bool is_atext(char c)
{
    constexpr std::string_view marks = "!#$%&'*+-/=?^_`{|}~";
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           marks.find(c) != std::string_view::npos;
}

// Calls f(blanks, word) for each word of `text` with the blanks before it.
template <class F>
void for_each_word(std::string_view text, F f)
{
    while (!text.empty()) {
        const std::size_t word = std::min(text.find_first_not_of(' '), text.size());
        const std::size_t end = std::min(text.find(' ', word), text.size());
        f(text.substr(0, word), text.substr(word, end - word));
        text.remove_prefix(end);
    }
}

bool has_words_up_to(std::string_view text, std::size_t max_word)
{
    bool result = true;
    for_each_word(text, [&](std::string_view blanks, std::string_view word) {
        result = result && blanks.size() <= max_blanks && word.size() <= max_word;
    });
    return result;
}

// Only for text without blanks at its ends.
void append_words(HeaderField& field, std::string_view text)
{
    for_each_word(text, [&](std::string_view blanks, std::string_view word) {
        field.blank(word.size(), blanks.empty() ? " " : blanks);
        field.put(word);
    });
}

// An addr-spec's display name: atoms, a quoted string, or encoded words (RFC 5322 section 3.4, RFC 2047 section 5 (3)).
void append_phrase(HeaderField& field, std::string_view name)
{
    constexpr std::size_t max_quoted = 70; // with its quotes on one line: a quoted string is never folded inside
    if (!is_plain(name) || quoted_size(name) > max_quoted)
        return field.encoded_words(name);
    if (std::ranges::all_of(name, [](char c) { return is_atext(c) || c == ' '; }))
        return append_words(field, name);
    field.blank(quoted_size(name));
    field.put(quoted(name));
}

// `closing` is what follows the address on its line: a comma or nothing.
void append_mailbox(HeaderField& field, const NamedAddress& mailbox, std::string_view closing)
{
    const std::string& address = mailbox.address.str();
    if (mailbox.name.empty()) {
        field.blank(address.size() + closing.size());
        field.put(address);
    } else {
        append_phrase(field, mailbox.name.str());
        field.blank(address.size() + 2 + closing.size());
        field.put("<");
        field.put(address);
        field.put(">");
    }
    field.put(closing);
}

bool is_structured(const HeaderName& name)
{
    constexpr std::array<std::string_view, 3> names = {"in-reply-to", "references", "auto-submitted"};
    const std::string lower = ascii_lower(name.str());
    return lower.starts_with("list-") || std::ranges::find(names, lower) != names.end();
}

void append_two_digits(std::string& out, unsigned number)
{
    out += static_cast<char>('0' + number / 10 % 10);
    out += static_cast<char>('0' + number % 10);
}

} // namespace

HeaderField::HeaderField(std::string& out, std::string_view name)
    : out_(out), line_start_(out.size()), body_start_(out.size() + name.size() + 1)
{
    out_ += name;
    out_ += ':';
}

void HeaderField::fold()
{
    out_ += "\r\n";
    line_start_ = out_.size();
    max_column_ = fold_column;
}

void HeaderField::blank(std::size_t next, std::string_view blanks)
{
    // Right behind the name a fold would win little, and some readers take the field for an empty one.
    if (column() + blanks.size() + next > max_column_ && out_.size() != body_start_)
        fold();
    out_ += blanks;
}

void HeaderField::encoded_words(std::string_view text)
{
    const WordEncoding encoding = shorter_encoding(text);
    while (!text.empty()) {
        if (column() + 1 + min_encoded_word > max_encoded_line)
            fold();
        out_ += ' ';
        take_encoded_word(out_, text, encoding, max_encoded_line - column());
        max_column_ = max_encoded_line;
    }
}

void append_unstructured(std::string& out, std::string_view name, const HeaderText& text, Unstructured kind)
{
    HeaderField field(out, name);
    const std::size_t max_word = kind == Unstructured::prose ? fold_column - name.size() - 2 : max_raw_word;
    if (is_unmistakable(text.str()) && has_words_up_to(text.str(), max_word))
        append_words(field, text.str());
    else
        field.encoded_words(text.str());
    field.end();
}

void append_producers_header(std::string& out, const HeaderName& name, const HeaderText& text)
{
    const std::string_view value = trimmed(text.str());
    if (!is_structured(name) || !is_ascii(value) || !has_words_up_to(value, max_raw_word))
        return append_unstructured(out, name.str(), text, Unstructured::token);
    HeaderField field(out, name.str());
    append_words(field, value);
    field.end();
}

void append_addresses(std::string& out, std::string_view name, const std::vector<NamedAddress>& addresses)
{
    HeaderField field(out, name);
    for (std::size_t i = 0; i < addresses.size(); ++i)
        append_mailbox(field, addresses[i], i + 1 < addresses.size() ? "," : "");
    field.end();
}

void append_address(std::string& out, std::string_view name, const NamedAddress& address)
{
    HeaderField field(out, name);
    append_mailbox(field, address, "");
    field.end();
}

void append_date(std::string& out, std::chrono::sys_seconds date)
{
    constexpr std::array<std::string_view, 7> days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto midnight = std::chrono::floor<std::chrono::days>(date);
    const std::chrono::year_month_day day(midnight);
    const std::chrono::hh_mm_ss time(date - midnight);
    out += "Date: ";
    out += days[std::chrono::weekday(midnight).c_encoding()];
    out += ", ";
    append_two_digits(out, static_cast<unsigned>(day.day()));
    out += ' ';
    out += months[static_cast<unsigned>(day.month()) - 1];
    out += ' ';
    append_two_digits(out, static_cast<unsigned>(static_cast<int>(day.year())) / 100);
    append_two_digits(out, static_cast<unsigned>(static_cast<int>(day.year())));
    out += ' ';
    append_two_digits(out, static_cast<unsigned>(time.hours().count()));
    out += ':';
    append_two_digits(out, static_cast<unsigned>(time.minutes().count()));
    out += ':';
    append_two_digits(out, static_cast<unsigned>(time.seconds().count()));
    out += " +0000\r\n";
}

} // namespace mailroom::mime
