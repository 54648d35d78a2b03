// The two fields of an attachment that carry its file name, in the three forms that together all readers understand:
// RFC 2231 (Content-Disposition filename*), plain US-ASCII (filename), and RFC 2047 (Content-Type name, for Outlook).
#pragma once

#include "transport/mime/message.hpp"

#include <string>
#include <string_view>

namespace mailroom::mime {

// The name without anything that could lead a reader out of its folder: / and \ become _.
std::string safe_file_name(std::string_view name);

// A `file_name` that is empty is left out.
void append_content_type(std::string& out, const MediaType& type, std::string_view file_name);
enum class Disposition { attachment, shown_inline };
void append_content_disposition(std::string& out, Disposition disposition, std::string_view file_name);

} // namespace mailroom::mime
