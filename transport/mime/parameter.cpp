#include "transport/mime/parameter.hpp"

#include "transport/mime/encoded_word.hpp"
#include "transport/mime/header_field.hpp"
#include "transport/mime/plain_text.hpp"

#include <algorithm>
#include <array>

namespace mailroom::mime {
namespace {

constexpr std::size_t max_quoted = 60; // with ` filename=` and `;` still on one line of 78

bool fits_quoted(std::string_view name)
{
    return is_plain(name) && quoted_size(name) <= max_quoted;
}

// A part of RFC 2231's attribute-char (section 7); everything else is percent-encoded.
bool is_attribute_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
           c == '_';
}

void append_percent_encoded(std::string& out, std::string_view text)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (const char c : text) {
        if (is_attribute_char(c)) {
            out += c;
        } else {
            const auto octet = static_cast<unsigned char>(c);
            const std::array<char, 3> escape = {'%', digits[octet >> 4], digits[octet & 15]};
            out.append(escape.data(), escape.size());
        }
    }
}

// filename*=UTF-8''..., or as many filename*N*=... as lines of 78 need (RFC 2231 section 4.1). A section never ends
// inside a character, because some readers decode each by itself.
void append_extended(std::string& out, std::string_view name)
{
    std::string value;
    std::vector<std::string> sections;
    constexpr std::size_t room = fold_column - std::string_view(" filename*1000*=UTF-8'';").size();
    for (std::size_t at = 0; at < name.size();) {
        const std::size_t end = character_end(name, at);
        std::string character;
        append_percent_encoded(character, name.substr(at, end - at));
        if (value.size() + character.size() > room)
            sections.push_back(std::exchange(value, {}));
        value += character;
        at = end;
    }
    sections.push_back(std::move(value));
    for (std::size_t i = 0; i < sections.size(); ++i) {
        out += i == 0 ? "\r\n filename*" : ";\r\n filename*";
        if (sections.size() > 1)
            out += std::to_string(i) + "*";
        out += i == 0 ? "=UTF-8''" : "=";
        out += sections[i];
    }
}

// What is left of a name for readers that know no RFC 2231: US-ASCII, short, and with its extension.
std::string ascii_fallback(std::string_view name)
{
    std::string result;
    for (std::size_t at = 0; at < name.size(); at = character_end(name, at)) {
        const char c = name[at];
        const bool stays = static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '=' && c != '?';
        result += stays ? c : '_';
    }
    if (result.size() + 2 <= max_quoted)
        return result;
    constexpr std::size_t max_extension = 8; // with its dot
    const std::size_t dot = result.rfind('.');
    const std::string extension =
        dot != std::string::npos && result.size() - dot <= max_extension ? result.substr(dot) : "";
    return result.substr(0, max_quoted - 2 - extension.size()) + extension;
}

// name="=?UTF-8?...?=": not allowed by RFC 2047 section 5 (3), and the only form that Outlook reads here.
void append_encoded_name(std::string& out, std::string_view name)
{
    constexpr std::string_view start = "\r\n name=\"";
    constexpr std::size_t first_room = max_encoded_line - (start.size() - 2) - 1;
    const WordEncoding encoding = shorter_encoding(name);
    out += start;
    take_encoded_word(out, name, encoding, first_room);
    while (!name.empty()) {
        out += "\r\n ";
        take_encoded_word(out, name, encoding, max_encoded_line - 2);
    }
    out += '"';
}

} // namespace

std::string safe_file_name(std::string_view name)
{
    std::string result(name);
    std::ranges::replace_if(
        result, [](char c) { return c == '/' || c == '\\'; }, '_');
    return result;
}

void append_content_type(std::string& out, const MediaType& type, std::string_view file_name)
{
    out += "Content-Type: ";
    out += type.str();
    if (!file_name.empty()) {
        out += ';';
        if (fits_quoted(file_name))
            out += "\r\n name=" + quoted(file_name);
        else
            append_encoded_name(out, file_name);
    }
    out += "\r\n";
}

void append_content_disposition(std::string& out, Disposition disposition, std::string_view file_name)
{
    out += "Content-Disposition: ";
    out += disposition == Disposition::attachment ? "attachment" : "inline";
    if (!file_name.empty()) {
        out += ';';
        if (fits_quoted(file_name)) {
            out += "\r\n filename=" + quoted(file_name);
        } else {
            // The exact form first: readers that know both forms but take the first of a name exist, CPython's is one.
            append_extended(out, file_name);
            out += ";\r\n filename=" + quoted(ascii_fallback(file_name));
        }
    }
    out += "\r\n";
}

} // namespace mailroom::mime
