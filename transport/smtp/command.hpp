// The one place that builds command lines, from arguments whose types cannot hold a CR or an LF: nothing that a user or
// a setting says can become a second command. Pure.
#pragma once

#include "config/address.hpp"
#include "config/secret.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::smtp {

// What we call ourselves: a host name, or an address literal such as [192.0.2.1] or [IPv6:2001:db8::1].
class ClientName {
public:
    static Result<ClientName> make(std::string_view text);
    const std::string& str() const { return text_; }

private:
    explicit ClientName(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

struct Credentials {
    std::string login;
    Secret password;
};

// Each is one whole line with its CRLF.
namespace command {

inline constexpr std::size_t max_line = 512; // octets, RFC 5321 section 4.5.3.1.4

std::string ehlo(const ClientName& client);
std::string helo(const ClientName& client);
std::string starttls();
std::string rset();
std::string data();
std::string quit();
inline constexpr std::string_view final_dot = ".\r\n"; // after a line end

enum class SmtpUtf8 { no, yes };
// size: octets of the content where the server offers SIZE (RFC 1870).
std::string mail_from(const MailAddress& sender, std::optional<std::uint64_t> size, SmtpUtf8 smtputf8);
std::string rcpt_to(const MailAddress& recipient);

// RFC 4616. The initial response goes with the command if the line stays within max_line (RFC 4954 section 4); else the
// server asks for it with 334. Wipe these after use: they hold the password.
std::string auth_plain(const Credentials& credentials);
std::string auth_plain_response(const Credentials& credentials);
std::string auth_login();
std::string auth_login_name(const Credentials& credentials);
std::string auth_login_password(const Credentials& credentials);

} // namespace command

} // namespace mailroom::smtp
