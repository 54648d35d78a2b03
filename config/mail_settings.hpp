// The mail settings as the ERP's screens keep them: General, Users, Rows and Models (docs/rules.md). Values as stored:
// an address here may be blank or malformed, because what is incomplete may be saved; service/rules decides what that
// means.
#pragma once

#include "config/port.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailroom {

enum class Edition { on_premise, cloud };

// How mail leaves. outlook and other_client are the desktop modes.
enum class Mode { not_configured, outlook, office365, smtp, other_client };

enum class Category { standard, mass, dispatch, mobile };

// Of the connection to an SMTP server.
enum class Security { none, starttls, implicit_tls };

enum class Lane { urgent, normal, bulk };
constexpr std::size_t lane_count = 3;

// A password sealed by queue/sealing; opaque everywhere else.
using SealedSecret = std::vector<std::uint8_t>;

// Whose account it is. Two owners may hold the same login.
struct Owner {
    enum class Kind { general, user };
    Kind kind = Kind::general;
    std::int32_t id = 0; // of the User; 0 for General

    static Owner general() { return {}; }
    static Owner user(std::int32_t id) { return {Kind::user, id}; }

    friend auto operator<=>(const Owner&, const Owner&) = default;
};

struct SmtpServer {
    std::string host; // blank: none
    Port port = *Port::make(587);
    bool use_ssl = true; // port 465: implicit TLS; any other: STARTTLS, required
    bool login = true;   // no: a relay that asks for none
    bool allow_cleartext = false;

    friend bool operator==(const SmtpServer&, const SmtpServer&) = default;
};

struct General {
    std::int64_t version = 0; // raised by each change of it
    Edition edition = Edition::on_premise;
    Mode default_user_mode = Mode::outlook;
    Mode mode = Mode::not_configured; // of the shared account: not_configured, smtp or office365
    std::string account;              // login or address
    std::string from;                 // serves MOBILE only
    SmtpServer server;
    SmtpServer user_server; // what users inherit; blank host: General's own group
    bool send_as = false;   // no Sender header, envelope sender = From
    std::optional<SealedSecret> password;
    std::optional<SealedSecret> token; // of the sign-in to Office 365

    friend bool operator==(const General&, const General&) = default;
};

struct User {
    std::int32_t id = 0;      // never reused
    std::int64_t version = 0; // raised by each change of it
    std::string code;
    std::string name;
    bool enabled = true;
    std::string email;
    std::optional<Mode> mode; // none: same_as_general
    std::string account;      // blank: email; on cloud, where that is blank, the code if it is an address
    std::string from;         // serves standard mail only
    SmtpServer server;
    bool send_as = false;
    std::optional<SealedSecret> password;
    std::optional<SealedSecret> token; // of the sign-in to Office 365

    friend bool operator==(const User&, const User&) = default;
};

// How a Row's or a Model's mail leaves; `general` is a link to General's mode, not a copy.
enum class LinkMode { not_configured, outlook, general };

// One line of the Mailing Configuration grid (a Row), or one dispatch model (a Model).
struct DocumentKind {
    std::int32_t id = 0; // never reused
    std::string code;
    std::string name;
    std::string from; // blank: its mail is standard
    LinkMode mode = LinkMode::not_configured;

    friend bool operator==(const DocumentKind&, const DocumentKind&) = default;
};

// What a server lets an account do; 0: no limit.
struct AccountLimits {
    int messages_per_minute = 0;
    int connections = 0;        // at the same time
    int recipients_per_day = 0; // in any 24 hours

    friend bool operator==(const AccountLimits&, const AccountLimits&) = default;
};

// One consistent reading of all settings.
struct MailSettings {
    std::int64_t version = 0; // raised by every change
    General general;
    std::map<std::int32_t, User> users;                        // by id
    std::map<std::string, std::int32_t, std::less<>> user_ids; // by code
    std::map<std::int32_t, DocumentKind> rows;
    std::map<std::int32_t, DocumentKind> models;
    std::map<std::pair<std::string, std::string>, AccountLimits>
        limits; // by server (lower case) and login; *: any login
};

AccountLimits limits_of(const MailSettings& settings, const std::string& server, const std::string& login);

std::string_view to_string(Edition edition);
std::string_view to_string(Mode mode);
std::string_view to_string(Category category);
std::string_view to_string(Lane lane);
std::string_view to_string(LinkMode mode); // as stored: not_configured, outlook, general
std::optional<Edition> edition_from(std::string_view text);
std::optional<Mode> mode_from(std::string_view text);
std::optional<Lane> lane_from(std::string_view text);
std::optional<LinkMode> link_mode_from(std::string_view text);

} // namespace mailroom
