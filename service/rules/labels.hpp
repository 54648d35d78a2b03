// The labels of the ERP's screens: a hold names the field to repair as its reader sees it there.
#pragma once

#include <string_view>

namespace mailroom::rules::label {

inline constexpr std::string_view default_mode = "Default Mailing Mode for Users";
inline constexpr std::string_view mode = "Mailing Mode";
inline constexpr std::string_view login = "User";    // the account, with smtp
inline constexpr std::string_view mailbox = "Email"; // the account, with office365
inline constexpr std::string_view from = "\"From\" Address";
inline constexpr std::string_view server = "Server Name";
inline constexpr std::string_view use_ssl = "Use SSL Encoding";
inline constexpr std::string_view users_use_ssl = "Use SSL Encoding (server for users)"; // General has two servers
inline constexpr std::string_view password = "Password";
inline constexpr std::string_view row_from = "Email Account for Sending";
inline constexpr std::string_view model_from = "Email Address, section Dispatcher";

} // namespace mailroom::rules::label
