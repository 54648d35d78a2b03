// Writes one header field of RFC 5322: folds it at 78 characters where a blank allows it, and never lets a line pass
// 998 (section 2.1.1). Text comes in as proved types; parameters of MIME fields are parameter.hpp's.
#pragma once

#include "config/address.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::mime {

inline constexpr std::size_t fold_column = 78; // characters of a line without its end
inline constexpr std::size_t max_raw_word =
    900; // characters that are never folded; with any field's name still below 998

class HeaderField {
public:
    HeaderField(std::string& out, std::string_view name); // "Name:"

    void blank(std::size_t next,
               std::string_view blanks = " "); // and a fold before them, if `next` characters do not fit
    void put(std::string_view text) { out_ += text; }
    void encoded_words(std::string_view text);
    void end() { out_ += "\r\n"; }

private:
    std::size_t column() const { return out_.size() - line_start_; }
    void fold();

    std::string& out_;
    std::size_t line_start_;
    std::size_t body_start_;
    std::size_t max_column_ = fold_column; // of this line; lower once it has an encoded word
};

// What a reader sees is what the producer wrote, blanks at the ends included.
enum class Unstructured {
    prose, // a subject: a word that does not fit a line is encoded
    token, // a producer's header, where a long word is a link or a key that programs read as it stands
};
void append_unstructured(std::string& out, std::string_view name, const HeaderText& text, Unstructured kind);

// Fields whose grammar knows no encoded words (References, List-Unsubscribe and the like) stand as they are, folded at
// blanks, as long as they are US-ASCII.
void append_producers_header(std::string& out, const HeaderName& name, const HeaderText& text);

// A local part that is not US-ASCII stands in UTF-8 (RFC 6532): such a message goes over SMTPUTF8 alone, whoever it
// goes to. Nothing here sees to that: smtp::Envelope says so, and smtp::Transaction keeps to it.
void append_addresses(std::string& out, std::string_view name, const std::vector<NamedAddress>& addresses);
void append_address(std::string& out, std::string_view name, const NamedAddress& address);

// RFC 5322 section 3.3, in UTC: Tue, 01 Dec 2026 09:30:00 +0000
void append_date(std::string& out, std::chrono::sys_seconds date);

} // namespace mailroom::mime
