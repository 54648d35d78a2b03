#include "queue/settings_store.hpp"

#include "queue/sql.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include <utility>

namespace mailroom::queue {
namespace {

// A stored port was checked when it was saved; 587 stands in for one that was written past the checks.
Port port_of(const pg::Result& rows, int row, int column)
{
    const auto port = Port::make(rows.number(row, column));
    return port ? *port : *Port::make(587);
}

// host, port, use_ssl, login, allow_cleartext, from `column` on.
SmtpServer server_of(const pg::Result& rows, int row, int column)
{
    return {std::string(rows.text(row, column)), port_of(rows, row, column + 1), rows.truth(row, column + 2),
            rows.truth(row, column + 3), rows.truth(row, column + 4)};
}

std::optional<SealedSecret> sealed(const pg::Result& rows, int row, int column)
{
    return rows.is_null(row, column) ? std::nullopt : std::optional(rows.bytes(row, column));
}

void read_general(const pg::Result& rows, StoredSettings& stored)
{
    MailSettings& settings = stored.settings;
    General& general = settings.general;
    settings.version = rows.number(0, 0);
    general.edition = edition_from(rows.text(0, 1)).value_or(Edition::on_premise);
    general.default_user_mode = mode_from(rows.text(0, 2)).value_or(Mode::not_configured);
    general.mode = mode_from(rows.text(0, 3)).value_or(Mode::not_configured);
    general.account = rows.text(0, 4);
    general.from = rows.text(0, 5);
    general.server = server_of(rows, 0, 6);
    general.user_server = server_of(rows, 0, 11);
    general.send_as = rows.truth(0, 16);
    general.password = sealed(rows, 0, 17);
    general.token = sealed(rows, 0, 18);
    stored.key_id = rows.text(0, 19);
    general.version = rows.number(0, 20);
}

void read_users(const pg::Result& rows, MailSettings& settings)
{
    for (int row = 0; row < rows.rows(); ++row) {
        User user;
        user.id = static_cast<std::int32_t>(rows.number(row, 0));
        user.code = rows.text(row, 1);
        user.name = rows.text(row, 2);
        user.enabled = rows.truth(row, 3);
        user.email = rows.text(row, 4);
        user.mode = mode_from(rows.text(row, 5)); // same_as_general is none of them
        user.account = rows.text(row, 6);
        user.from = rows.text(row, 7);
        user.server = server_of(rows, row, 8);
        user.send_as = rows.truth(row, 13);
        user.password = sealed(rows, row, 14);
        user.token = sealed(rows, row, 15);
        user.version = rows.number(row, 16);
        settings.user_ids.emplace(user.code, user.id);
        settings.users.emplace(user.id, std::move(user));
    }
}

void read_documents(const pg::Result& rows, MailSettings& settings)
{
    for (int row = 0; row < rows.rows(); ++row) {
        DocumentKind document;
        document.id = static_cast<std::int32_t>(rows.number(row, 1));
        document.code = rows.text(row, 2);
        document.name = rows.text(row, 3);
        document.from = rows.text(row, 4);
        document.mode = link_mode_from(rows.text(row, 5)).value_or(LinkMode::not_configured);
        auto& target = rows.text(row, 0) == "row" ? settings.rows : settings.models;
        target.emplace(document.id, std::move(document));
    }
}

void read_refusals(const pg::Result& rows, StoredSettings& stored)
{
    for (int row = 0; row < rows.rows(); ++row) {
        if (rows.text(row, 0) == "login")
            stored.logins.push_back({rows.bytes(row, 1), std::string(rows.text(row, 2)),
                                     LoginContact{std::string(rows.text(row, 5)), std::string(rows.text(row, 3)),
                                                  std::string(rows.text(row, 6)), std::string(rows.text(row, 7))}});
        else
            stored.senders.push_back({std::string(rows.text(row, 2)),
                                      std::string(rows.text(row, 3)),
                                      std::string(rows.text(row, 4)),
                                      std::string(rows.text(row, 7)),
                                      {},
                                      std::string(rows.text(row, 8))});
    }
}

std::string text_of(const boost::json::value* value)
{
    const auto* text = value != nullptr ? value->if_string() : nullptr;
    return text == nullptr ? std::string() : std::string(text->data(), text->size());
}

StoredAgent::Account desktop_account_of(const boost::json::value& value)
{
    const auto* object = value.if_object();
    if (object == nullptr)
        return {};
    const auto* linked = object->if_contains("linked");
    return {text_of(object->if_contains("address")), linked != nullptr && linked->is_bool() && linked->get_bool()};
}

void read_status(const pg::Result& rows, StoredSettings& stored)
{
    for (int row = 0; row < rows.rows(); ++row) {
        const auto id = static_cast<std::int32_t>(rows.number(row, 1));
        boost::json::error_code error;
        const auto parsed = boost::json::parse(boost::json::string_view(rows.text(row, 5)), error);
        const auto list = parsed.is_array() ? parsed.get_array() : boost::json::array();
        if (rows.text(row, 0) == "account") {
            StoredStatus status{id == 0 ? Owner::general() : Owner::user(id),
                                std::string(rows.text(row, 2)),
                                std::string(rows.text(row, 3)),
                                std::string(rows.text(row, 4)),
                                {},
                                rows.truth(row, 6)};
            for (const auto& alias : list)
                status.aliases.push_back(text_of(&alias));
            stored.statuses.push_back(std::move(status));
        } else {
            StoredAgent agent{id, std::string(rows.text(row, 2)), {}};
            for (const auto& account : list)
                agent.accounts.push_back(desktop_account_of(account));
            stored.agents.push_back(std::move(agent));
        }
    }
}

void read_limits(const pg::Result& rows, MailSettings& settings)
{
    for (int row = 0; row < rows.rows(); ++row)
        settings.limits[{std::string(rows.text(row, 0)), std::string(rows.text(row, 1))}] = {
            static_cast<int>(rows.number(row, 2)), static_cast<int>(rows.number(row, 3)),
            static_cast<int>(rows.number(row, 4))};
}

} // namespace

pg::DbResult<StoredSettings> read_settings(pg::Connection& connection)
{
    auto general = connection.run(sql("load_general"));
    auto users = general ? connection.run(sql("load_users")) : general;
    auto documents = users ? connection.run(sql("load_documents")) : users;
    auto refusals = documents ? connection.run(sql("load_refusals")) : documents;
    auto status = refusals ? connection.run(sql("load_status")) : refusals;
    auto limits = status ? connection.run(sql("load_limits")) : status;
    if (!limits)
        return limits.error();
    StoredSettings stored;
    read_general(*general, stored);
    read_users(*users, stored.settings);
    read_documents(*documents, stored.settings);
    read_refusals(*refusals, stored);
    read_status(*status, stored);
    read_limits(*limits, stored.settings);
    return stored;
}

pg::DbResult<StoredSettings> load_settings(pg::Connection& connection)
{
    if (auto begun =
            connection.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", pg::Connection::statement_limit);
        !begun)
        return begun.error();
    auto stored = read_settings(connection);
    if (connection.usable()) {
        if (auto ended = connection.script("COMMIT", pg::Connection::statement_limit); !ended)
            return ended.error();
    }
    return stored;
}

pg::DbResult<bool> refuse_login(pg::Connection& connection, const RefusedLogin& login)
{
    const LoginContact& contact = login.contact;
    pg::Params params;
    params.bytes(login.fingerprint).text(login.reason).text(contact.owner).text(contact.account).text(contact.server);
    auto rows = connection.run(sql("refuse_login"), params.text(contact.reply));
    if (!rows)
        return rows.error();
    return rows->rows() > 0;
}

pg::DbResult<void> note_login(pg::Connection& connection, const LoginNote& note)
{
    auto done = connection.run(sql("note_login"), pg::Params()
                                                      .number(note.owner.id)
                                                      .bytes(note.password)
                                                      .text(note.account)
                                                      .text(note.server)
                                                      .truth(note.login == LoginNote::Login::succeeded)
                                                      .text(note.words));
    if (!done)
        return done.error();
    return {};
}

pg::DbResult<bool> refuse_sender(pg::Connection& connection, const RefusedSender& sender)
{
    pg::Params params;
    params.text(sender.mode).text(sender.account).text(sender.from).text(sender.reply).text(sender.place);
    auto rows = connection.run(sql("refuse_sender"), params);
    if (!rows)
        return rows.error();
    return rows->rows() > 0;
}

} // namespace mailroom::queue
