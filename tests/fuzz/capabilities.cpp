// What a server claims in its reply to EHLO; the lines go through the parser of replies first, as on the wire.
#include "transport/smtp/capabilities.hpp"

#include "config/text.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string>

using namespace mailroom;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view input = fuzz::text_of(data, size);
    std::string octets = "250-mail.example.com\r\n";
    while (!input.empty())
        octets += "250-" + std::string(fuzz::take_until(input, '\n')) + "\r\n";
    octets += "250 HELP\r\n";

    smtp::ReplyParser parser;
    std::string_view left = octets;
    const auto reply = parser.feed(left);
    if (!reply || !*reply)
        return 0;
    const smtp::Capabilities found = smtp::parse_capabilities(**reply);
    require(found.auth || (!found.auth_plain && !found.auth_login && found.mechanisms.empty()),
            "no mechanism without AUTH");
    require(!found.auth_plain || ascii_lower(found.mechanisms).find("plain") != std::string::npos, "PLAIN was offered");
    require(!found.auth_login || ascii_lower(found.mechanisms).find("login") != std::string::npos, "LOGIN was offered");
    require(found.size || !found.max_size, "no largest size without SIZE");
    require(!found.max_size || *found.max_size > 0, "a largest size of 0 is none");
    require(!fuzz::has_line_end_or_nul(found.mechanisms), "the mechanisms can be shown");
    return 0;
}
