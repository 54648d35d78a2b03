// Sends a test e-mail and tells each step of it; lists those that were sent.
#include "config/address.hpp"

#include "queue/sql.hpp"
#include "service/commands/commands.hpp"
#include "service/host/key_source.hpp"
#include "service/host/names.hpp"
#include "service/host/prompt.hpp"
#include "service/test_mail.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

namespace mailroom::commands {
namespace {

namespace json = boost::json;
using test_mail::Place;

Place place_of(const Target& target)
{
    const auto kind = target.kind == "general" ? Place::Kind::general
                      : target.kind == "user"  ? Place::Kind::user
                      : target.kind == "form"  ? Place::Kind::row
                      : target.kind == "model" ? Place::Kind::model
                                               : Place::Kind::me;
    return {kind, std::string(trimmed(target.code))};
}

Result<test_mail::Order> order_of(const Testing& testing)
{
    test_mail::Order order;
    order.place = place_of(testing.target);
    order.presser = trimmed(testing.presser);
    order.to = testing.to;
    if (testing.values.empty())
        return order;
    const auto values = assignments_json(testing.values);
    if (!values)
        return values.error();
    order.values = json::serialize(*values);
    return order;
}

int show(const Options& options, const test_mail::Report& report, const std::string& status)
{
    if (options.output == Output::json) {
        json::object shown = test_mail::to_json(report);
        shown["status"] = status;
        print_json(shown);
    } else {
        fmt::print("{}{}", test_mail::to_lines(report),
                   status.empty() ? status : fmt::format("{:<16}{}\n", "status", status));
    }
    return report.is_accepted() ? Exit::ok : Exit::failed;
}

} // namespace

int test_send(const Options& options, const Testing& testing)
{
    auto order = order_of(testing);
    if (!order)
        return complain(options, order.error().text, Exit::usage);
    const auto file = settings(options);
    if (!file)
        return complain(options, file.error().text, Exit::usage);
    const auto keys = host::keyring(*file);
    if (!keys)
        return complain(options, keys.error().text);
    if (testing.types_password) {
        auto password = host::read_password("Password for the test: ");
        if (!password)
            return complain(options, password.error().text, Exit::usage);
        order->password = *std::move(password);
    }
    const auto begun = std::chrono::steady_clock::now();
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    auto screen = test_mail::read_screen(*connection, *order);
    if (!screen)
        return complain(options, explained("reading the settings as on the screen", screen.error()).text);
    const queue::Keyring* const ring = *keys ? &**keys : nullptr;
    const auto plan = test_mail::plan(*order, *std::move(screen), ring);
    if (!plan)
        return complain(options, plan.error().text, Exit::usage);
    std::optional<test_mail::Sent> sent;
    if (plan->decision.identity() != nullptr) {
        auto authorities = tls::ClientContext::make(file->tls.ca_file);
        const auto spent = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
        const test_mail::Means means{
            authorities ? std::make_shared<const tls::ClientContext>(*std::move(authorities)) : nullptr,
            host::client_name(*file),
            file->installation.domain,
            pg::Source{file->database.connection, "mailroom test", {}, file->database.pooled},
            ring,
            file->safety,
            std::max<std::chrono::milliseconds>(testing.timeout - spent, std::chrono::seconds(1))};
        sent = test_mail::send(*plan, means);
    }
    const test_mail::Sent* const attempt = sent ? &*sent : nullptr;
    const test_mail::Report report = test_mail::report_of(*plan, attempt, file->installation.domain);
    const auto status = test_mail::settle(*connection, *plan, attempt, report, ring);
    if (!status)
        fmt::print(stderr, "mailroom: {}\n", status.error().text);
    return show(options, report, status ? status->words : status.error().text);
}

int test_list(const Options& options, std::int64_t limit)
{
    auto connection = connect(options);
    if (!connection)
        return complain(options, connection.error());
    const auto tests = query_json(*connection, "tests", pg::Params().number(limit));
    if (!tests)
        return complain(options, tests.error().text);
    if (options.output == Output::json) {
        print_json(*tests);
        return Exit::ok;
    }
    for (const auto& test : tests->at("tests").as_array()) {
        const std::string presser = text_at(test, "pressed_by");
        fmt::print("{}  {:<9} {:<20} {} to {} by {}{}: {}\n", short_time(text_at(test, "at")), text_at(test, "outcome"),
                   text_at(test, "place"), text_at(test, "table_row"), text_at(test, "recipient"),
                   text_at(test, "by_login"), presser.empty() ? "" : " for " + presser, text_at(test, "words"));
    }
    return Exit::ok;
}

} // namespace mailroom::commands
