#include "transport/mime/body.hpp"

#include "transport/mime/composer.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace mailroom::mime {
namespace {

constexpr std::size_t max_plain_line = 78; // characters, RFC 5322 section 2.1.1; a longer line is encoded
constexpr std::size_t max_qp_line = 76;    // characters, RFC 2045 section 6.7 (5), a soft break's = included

// From this share on a text reads no better in quoted-printable and base64 is shorter for it (3 octets each against
// 4/3).
constexpr std::size_t base64_share = 6;

// mbox stores and some servers change such a line to >From, which breaks signatures.
constexpr std::string_view mbox_start = "From ";

bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool is_ordinary(char c)
{
    return c >= 0x20 && c < 0x7F; // whatever the sign of char: what is not US-ASCII is below or above
}

bool is_beyond_ascii(char c)
{
    return static_cast<unsigned char>(c) >= 0x80;
}

// Eight octets at once, each 0x20 to 0x7E: nothing below (the borrow of a subtraction), nothing above (bit 7, or an
// addition).
bool are_ordinary(const char* eight)
{
    std::uint64_t octets = 0;
    std::memcpy(&octets, eight, sizeof octets);
    constexpr std::uint64_t each = 0x0101010101010101;
    return (((octets - each * 0x20) | octets | (octets + each)) & each * 0x80) == 0;
}

std::size_t skip_ordinary(std::string_view text, std::size_t at)
{
    while (at + 8 <= text.size() && are_ordinary(text.data() + at))
        at += 8;
    while (at < text.size() && is_ordinary(text[at]))
        ++at;
    return at;
}

struct Findings {
    std::size_t encoded = 0; // octets that only an encoding can carry: not US-ASCII, or a control character
    std::size_t crlf = 0;
    std::size_t lf = 0;
    std::size_t cr = 0;
    bool needs_encoding = false; // a line is too long, or would be changed on its way
};

void look_at_line(std::string_view line, Findings& found)
{
    const bool ends_blank = !line.empty() && is_blank(line.back());
    const bool is_delimiter = line.starts_with("--") && line.substr(2).starts_with(boundary_start);
    if (line.size() > max_plain_line || ends_blank || is_delimiter || line.starts_with(mbox_start))
        found.needs_encoding = true;
}

Findings look_at(std::string_view text)
{
    Findings found;
    std::size_t line = 0;
    for (std::size_t at = skip_ordinary(text, 0); at < text.size(); at = skip_ordinary(text, at)) {
        const char c = text[at];
        if (c != '\n' && c != '\r') {
            found.encoded += c != '\t' ? 1 : 0;
            ++at;
            for (; at < text.size() && is_beyond_ascii(text[at]); ++at)
                ++found.encoded; // the rest of a word in another script, without a look at eight octets for each
            continue;
        }
        look_at_line(text.substr(line, at - line), found);
        const bool is_crlf = c == '\r' && at + 1 < text.size() && text[at + 1] == '\n';
        ++(is_crlf ? found.crlf : c == '\n' ? found.lf : found.cr);
        at += is_crlf ? 2 : 1;
        line = at;
    }
    look_at_line(text.substr(line), found);
    return found;
}

LineEnds line_ends(const Findings& found)
{
    if (found.lf == 0 && found.cr == 0)
        return LineEnds::all_crlf;
    return found.crlf == 0 && found.cr == 0 ? LineEnds::all_lf : LineEnds::mixed;
}

// Calls f(line, end) for each line; `end` is "\r\n", or empty for a last line without one.
template <class F>
void for_each_line(std::string_view text, LineEnds ends, F f)
{
    while (!text.empty()) {
        const std::size_t end =
            ends == LineEnds::mixed ? text.find_first_of("\r\n") : text.find(ends == LineEnds::all_lf ? '\n' : '\r');
        if (end == std::string_view::npos)
            return f(text, std::string_view());
        f(text.substr(0, end), std::string_view("\r\n"));
        text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
    }
}

void append_lines(std::string& out, const Body& body)
{
    if (body.line_ends == LineEnds::all_crlf) {
        out += body.text;
        return;
    }
    for_each_line(body.text, body.line_ends, [&](std::string_view line, std::string_view end) {
        out += line;
        out += end;
    });
}

bool is_qp_literal(char c)
{
    return (is_ordinary(c) && c != '=') || c == '\t';
}

// `line` without its end. A soft break before each place where the next character and a = would pass the limit.
void append_qp_line(std::string& out, std::string_view line)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    // Of the line being written, filled before it is read; a string grows too slowly by single characters.
    std::array<char, max_qp_line> written; // NOLINT(cppcoreguidelines-pro-type-member-init)
    std::size_t column = 0;
    for (std::size_t at = 0; at < line.size(); ++at) {
        const char c = line[at];
        const bool last = at + 1 == line.size();
        bool literal = is_qp_literal(c) && !(last && is_blank(c));
        if (column + (literal ? 1 : 3) > max_qp_line - 1) {
            out.append(written.data(), column);
            out += "=\r\n";
            column = 0;
        }
        // A line's start, also behind a soft break, is where mbox stores and careless servers change things.
        if (column == 0 && (c == '.' || line.substr(at).starts_with(mbox_start)))
            literal = false;
        if (literal) {
            written[column++] = c;
        } else {
            const auto octet = static_cast<unsigned char>(c);
            written[column++] = '=';
            written[column++] = digits[octet >> 4];
            written[column++] = digits[octet & 15];
        }
    }
    out.append(written.data(), column);
}

void append_qp(std::string& out, const Body& body)
{
    for_each_line(body.text, body.line_ends, [&](std::string_view line, std::string_view end) {
        append_qp_line(out, line);
        out += end;
    });
}

void append_base64_text(std::string& out, const Body& body)
{
    if (body.line_ends == LineEnds::all_crlf)
        return append_base64_lines(out, body.text);
    std::string lines;
    lines.reserve(body.max_size);
    append_lines(lines, body);
    append_base64_lines(out, lines);
}

} // namespace

Body examine(std::string_view text)
{
    const Findings found = look_at(text);
    const std::size_t normalised = text.size() + found.lf + found.cr;
    Body body{text, TransferEncoding::seven_bit, line_ends(found), normalised, normalised};
    if (found.encoded > text.size() / base64_share)
        return as_base64(body);
    if (found.encoded > 0 || found.needs_encoding) {
        body.encoding = TransferEncoding::quoted_printable;
        const std::size_t equals = static_cast<std::size_t>(std::ranges::count(text, '='));
        const std::size_t lines = found.crlf + found.lf + found.cr + 1;
        const std::size_t octets = normalised + 2 * (found.encoded + equals + lines); // a line's first or last may grow
        body.max_size = octets + octets / 14 + 8; // a soft break of 3 after at least 73, and the next may grow by 2
    }
    return body;
}

Body as_base64(Body body)
{
    body.encoding = TransferEncoding::base64;
    body.max_size = static_cast<std::size_t>(base64_lines_size(body.octets));
    return body;
}

void append_body(std::string& out, const Body& body)
{
    switch (body.encoding) {
    case TransferEncoding::seven_bit:
        return append_lines(out, body);
    case TransferEncoding::quoted_printable:
        return append_qp(out, body);
    case TransferEncoding::base64:
        return append_base64_text(out, body);
    }
}

std::string_view to_string(TransferEncoding encoding)
{
    switch (encoding) {
    case TransferEncoding::seven_bit:
        return "7bit";
    case TransferEncoding::quoted_printable:
        return "quoted-printable";
    case TransferEncoding::base64:
        return "base64";
    }
    return "base64";
}

} // namespace mailroom::mime
