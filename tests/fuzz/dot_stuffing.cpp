// Dot-stuffing: no line of the content is the lone dot that ends the mail, and the server gets back what we had.
#include "transport/mime/dot_stuffing.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string>

using namespace mailroom;
using fuzz::require;

namespace {

// As a server undoes it (RFC 5321 section 4.5.2), one that takes a lone LF for a line end.
std::string unstuffed(std::string_view text)
{
    std::string result;
    bool at_start = true;
    for (const char c : text) {
        if (!(at_start && c == '.'))
            result += c;
        at_start = c == '\n';
    }
    return result;
}

std::string stuffed(std::string_view text)
{
    std::string result = "before\r\n";
    mime::append_dot_stuffed(result, text);
    return result.substr(8);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text = std::string(fuzz::text_of(data, size)) + "\r\n"; // whole lines
    const std::string sent = stuffed(text);
    require(unstuffed(sent) == text, "the server gets back what we had");
    require(("\n" + sent).find("\n.\r\n") == std::string::npos && ("\n" + sent).find("\n.\n") == std::string::npos,
            "no line is a lone dot");
    require(mime::needs_dot_stuffing(text) == (sent != text), "it says beforehand whether it changes anything");
    for (std::size_t end = text.find("\r\n"); end != std::string::npos; end = text.find("\r\n", end + 2)) {
        require(stuffed(std::string_view(text).substr(0, end + 2)) + stuffed(std::string_view(text).substr(end + 2)) ==
                    sent,
                "cut between lines, it comes out the same");
        if (end > 4096) // every cut of a long text would take too long
            break;
    }
    return 0;
}
