#include "transport/smtp/command.hpp"

#include "transport/mime/base64.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>

namespace mailroom::smtp {
namespace {

constexpr std::string_view line_end = "\r\n";

bool is_host_name(std::string_view text)
{
    const auto allowed = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
               c == '_';
    };
    return !text.empty() && text.size() <= MailAddress::max_domain && std::ranges::all_of(text, allowed) &&
           text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos;
}

bool is_address_literal(std::string_view text)
{
    if (!text.starts_with('[') || !text.ends_with(']'))
        return false;
    text = text.substr(1, text.size() - 2);
    constexpr std::string_view ipv6 = "IPv6:";
    boost::system::error_code error;
    if (text.starts_with(ipv6))
        boost::asio::ip::make_address_v6(std::string(text.substr(ipv6.size())), error);
    else
        boost::asio::ip::make_address_v4(std::string(text), error);
    return !error && text.find('%') == std::string_view::npos; // no zone
}

std::string base64_line(std::string_view start, std::string_view bytes)
{
    std::string line;
    line.reserve(start.size() + mime::base64_size(bytes.size()) + line_end.size()); // no copy of it stays behind
    line += start;
    mime::append_base64(line, bytes);
    line += line_end;
    return line;
}

std::string plain_line(std::string_view start, const Credentials& credentials)
{
    const std::string_view password = credentials.password.reveal();
    std::string message;
    message.reserve(credentials.login.size() + password.size() + 2);
    message += '\0';
    message += credentials.login;
    message += '\0';
    message += password;
    std::string line = base64_line(start, message);
    wipe(message);
    return line;
}

} // namespace

Result<ClientName> ClientName::make(std::string_view text)
{
    if (!is_host_name(text) && !is_address_literal(text))
        return Error{"the name for EHLO is neither a host name nor an address literal such as [192.0.2.1]"};
    return ClientName(std::string(text));
}

namespace command {

std::string ehlo(const ClientName& client)
{
    return "EHLO " + client.str() + "\r\n";
}

std::string helo(const ClientName& client)
{
    return "HELO " + client.str() + "\r\n";
}

std::string starttls()
{
    return "STARTTLS\r\n";
}

std::string rset()
{
    return "RSET\r\n";
}

std::string data()
{
    return "DATA\r\n";
}

std::string quit()
{
    return "QUIT\r\n";
}

std::string mail_from(const MailAddress& sender, std::optional<std::uint64_t> size, SmtpUtf8 smtputf8)
{
    std::string line = "MAIL FROM:<" + sender.str() + ">";
    if (size)
        line += " SIZE=" + std::to_string(*size);
    if (smtputf8 == SmtpUtf8::yes)
        line += " SMTPUTF8";
    line += line_end;
    return line;
}

std::string rcpt_to(const MailAddress& recipient)
{
    return "RCPT TO:<" + recipient.str() + ">\r\n";
}

std::string auth_plain(const Credentials& credentials)
{
    std::string line = plain_line("AUTH PLAIN ", credentials);
    if (line.size() <= max_line)
        return line;
    wipe(line);
    return "AUTH PLAIN\r\n";
}

std::string auth_plain_response(const Credentials& credentials)
{
    return plain_line("", credentials);
}

std::string auth_login()
{
    return "AUTH LOGIN\r\n";
}

std::string auth_login_name(const Credentials& credentials)
{
    return base64_line("", credentials.login);
}

std::string auth_login_password(const Credentials& credentials)
{
    return base64_line("", credentials.password.reveal());
}

} // namespace command

} // namespace mailroom::smtp
