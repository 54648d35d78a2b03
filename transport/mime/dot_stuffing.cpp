#include "transport/mime/dot_stuffing.hpp"

#include <cstddef>

namespace mailroom::mime {
namespace {

// Where the next line at or after `from` starts with a dot; npos: nowhere. It looks for dots and not for line ends,
// because dots are the rarer ones: base64, the bulk of all octets, has none. A dot after a lone LF counts too: a server
// that takes such an LF for a line end must not see the end of the mail there.
std::size_t leading_dot(std::string_view lines, std::size_t from)
{
    for (std::size_t at = lines.find('.', from); at != std::string_view::npos; at = lines.find('.', at + 1)) {
        if (at == 0 || lines[at - 1] == '\n')
            return at;
    }
    return std::string_view::npos;
}

} // namespace

bool needs_dot_stuffing(std::string_view lines)
{
    return leading_dot(lines, 0) != std::string_view::npos;
}

void append_dot_stuffed(std::string& out, std::string_view lines)
{
    std::size_t copied = 0;
    for (std::size_t at = leading_dot(lines, 0); at != std::string_view::npos; at = leading_dot(lines, at + 1)) {
        out.append(lines, copied, at - copied);
        out += '.';
        copied = at;
    }
    out.append(lines, copied);
}

} // namespace mailroom::mime
