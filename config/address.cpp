#include "config/address.hpp"

#include "config/idn.hpp"

#include <algorithm>

namespace mailroom {
namespace {

bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_beyond_ascii(char c)
{
    return static_cast<unsigned char>(c) >= 0x80;
}

// RFC 5321 Atom (RFC 5322 atext), widened by RFC 6531.
bool is_atom(std::string_view text)
{
    constexpr std::string_view marks = "!#$%&'*+-/=?^_`{|}~";
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return is_alnum(c) || is_beyond_ascii(c) || marks.find(c) != std::string_view::npos;
    });
}

// RFC 5321 sub-domain, a DNS label of at most 63 octets (RFC 1035 section 2.3.4), or a U-label.
bool is_label(std::string_view text)
{
    if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-')
        return false;
    return std::ranges::all_of(text, [](char c) { return is_alnum(c) || c == '-' || is_beyond_ascii(c); });
}

bool is_dotted(std::string_view text, bool (*is_part)(std::string_view))
{
    for (;;) {
        const auto dot = text.find('.');
        if (!is_part(text.substr(0, dot)))
            return false;
        if (dot == std::string_view::npos)
            return true;
        text.remove_prefix(dot + 1);
    }
}

std::string unquoted(std::string_view name)
{
    if (name.size() < 2 || name.front() != '"' || name.back() != '"')
        return std::string(name);
    std::string result;
    name = name.substr(1, name.size() - 2);
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] == '\\' && i + 1 < name.size())
            ++i;
        result += name[i];
    }
    return result;
}

} // namespace

Result<MailAddress> MailAddress::parse(std::string_view text)
{
    text = trimmed(text);
    const auto refuse = [&](std::string_view why) {
        std::string shown(text.substr(0, max_size));
        std::ranges::replace_if(
            shown, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
        return Error{is_utf8(shown) ? "\"" + shown + "\" is not an e-mail address: " + std::string(why)
                                    : "not an e-mail address: " + std::string(why)};
    };
    if (text.empty())
        return Error{"the e-mail address is empty"};
    if (!is_utf8(text))
        return refuse("not valid UTF-8");
    const auto at = text.rfind('@');
    if (at == std::string_view::npos)
        return refuse("it has no @");
    if (text.size() > max_size || at > max_local_part)
        return refuse("it is too long (64 octets before the @, 254 in all)");
    if (!HeaderText::make(std::string(text)))
        return refuse("it contains a control character");
    if (!is_dotted(text.substr(0, at), is_atom))
        return refuse("what stands before the @ is malformed");
    const std::string_view domain = text.substr(at + 1);
    if (!is_dotted(domain, is_label))
        return refuse("what stands after the @ is not a domain name");
    if (std::ranges::none_of(domain, is_beyond_ascii))
        return MailAddress(std::string(text), at, {});
    const auto ascii = to_a_labels(domain);
    if (!ascii)
        return refuse("mail servers know no such domain name (IDNA2008): " + ascii.error().text);
    if (!is_dotted(*ascii, is_label) || std::ranges::any_of(*ascii, is_beyond_ascii))
        return refuse("what stands after the @ is not a domain name");
    if (at + 1 + ascii->size() > max_size)
        return refuse("it is too long with its domain name in US-ASCII, " + *ascii + " (254 octets in all)");
    return MailAddress(std::string(text.substr(0, at + 1)) + *ascii, at, std::string(text));
}

bool MailAddress::needs_smtputf8() const
{
    return std::ranges::any_of(local_part(), is_beyond_ascii);
}

Result<NamedAddress> NamedAddress::parse(std::string_view text)
{
    text = trimmed(text);
    if (text.empty() || text.back() != '>') {
        auto address = MailAddress::parse(text);
        if (!address)
            return address.error();
        return NamedAddress{{}, *std::move(address)};
    }
    const auto open = text.rfind('<');
    if (open == std::string_view::npos)
        return Error{"a > without a <"};
    auto address = MailAddress::parse(text.substr(open + 1, text.size() - open - 2));
    if (!address)
        return address.error();
    auto name = HeaderText::make(unquoted(trimmed(text.substr(0, open))));
    if (!name)
        return Error{"the name before <" + address->written() + ">: " + name.error().text};
    return NamedAddress{*std::move(name), *std::move(address)};
}

std::string to_string(const NamedAddress& address)
{
    const std::string& written = address.address.written();
    return address.name.empty() ? written : address.name.str() + " <" + written + ">";
}

} // namespace mailroom
