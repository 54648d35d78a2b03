// Addresses and names with addresses, as settings and producers write them.
#include "config/address.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <string>

using namespace mailroom;
using fuzz::require;

namespace {

void check(const MailAddress& address)
{
    const std::string& text = address.str();
    require(!fuzz::has_line_end_or_nul(text), "an address has no line end and no NUL");
    require(text.find_first_of(" \t<>\"(),;:\\[]") == std::string::npos, "an address needs no quoting");
    require(text.size() <= MailAddress::max_size, "an address is not too long");
    require(std::all_of(address.domain().begin(), address.domain().end(), [](unsigned char c) { return c < 0x80; }),
            "a domain is US-ASCII");
    const auto as_written = MailAddress::parse(address.written());
    require(as_written && *as_written == address && as_written->written() == address.written(),
            "what people see is the same address");
    require(is_utf8(text), "an address is UTF-8");
    require(std::string(address.local_part()) + "@" + std::string(address.domain()) == text, "its parts are the whole");
    require(!address.local_part().empty() && !address.domain().empty(), "both parts are there");
    const auto again = MailAddress::parse(text);
    require(again && again->str() == text && *again == address, "an address is read as itself");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text = fuzz::text_of(data, size);
    const auto address = MailAddress::parse(text);
    if (address)
        check(*address);
    else
        require(!address.error().text.empty() && is_utf8(address.error().text) &&
                    !fuzz::has_line_end_or_nul(address.error().text),
                "a refusal is one line that can be shown");
    const auto named = NamedAddress::parse(text);
    if (named) {
        check(named->address);
        require(!fuzz::has_line_end_or_nul(named->name.str()), "a name has no line end and no NUL");
        const auto again = NamedAddress::parse(to_string(*named));
        require(again && again->address == named->address, "what is shown is read as the same address");
    } else {
        require(!named.error().text.empty() && is_utf8(named.error().text), "a refusal can be shown");
    }
    require(!address || named, "a bare address is a name with an address, too");
    return 0;
}
