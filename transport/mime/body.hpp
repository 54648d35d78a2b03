// Text of a message as lines of 7-bit octets: chooses the transfer encoding by what is in the text and writes it. Line
// ends become CRLF whatever they were: CRLF, LF or a lone CR. What encloses a part is composer.cpp's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mailroom::mime {

enum class TransferEncoding {
    seven_bit,        // as it stands
    quoted_printable, // RFC 2045 section 6.7
    base64,           // section 6.8
};

enum class LineEnds { all_crlf, all_lf, mixed };

struct Body {
    std::string_view text;
    TransferEncoding encoding = TransferEncoding::seven_bit;
    LineEnds line_ends = LineEnds::all_crlf;
    std::size_t octets = 0;   // with its line ends as CRLF, before it is encoded
    std::size_t max_size = 0; // octets that append_body will not exceed
};

// A multipart delimiter starts with these after two hyphens. Neither quoted-printable (= is written =3D) nor base64 can
// have them there, and a text that has goes as quoted-printable: so no boundary ever needs to be searched for.
inline constexpr std::string_view boundary_start = "=_";

Body examine(std::string_view text);
Body as_base64(Body body);                             // the same text, whatever is in it
void append_body(std::string& out, const Body& body);  // its last line ends as the text does: with a CRLF or without
std::string_view to_string(TransferEncoding encoding); // as Content-Transfer-Encoding has it

} // namespace mailroom::mime
