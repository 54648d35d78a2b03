#include "service/test_report.hpp"

#include <boost/json/array.hpp>
#include <fmt/format.h>

namespace mailroom::test_mail {

namespace json = boost::json;

std::string_view name_of(Stage stage)
{
    switch (stage) {
    case Stage::resolve:
        return "name resolution";
    case Stage::connect:
        return "connect";
    case Stage::tls:
        return "TLS";
    case Stage::greeting:
        return "greeting";
    case Stage::ehlo:
        return "EHLO";
    case Stage::starttls:
        return "STARTTLS";
    case Stage::auth:
        return "login";
    case Stage::mail_from:
        return "MAIL FROM";
    case Stage::rcpt_to:
        return "RCPT TO";
    case Stage::data:
        return "DATA";
    case Stage::content:
        return "content";
    case Stage::final_dot:
        return "end of data";
    case Stage::rset:
        return "RSET";
    case Stage::idle:
        return "QUIT";
    }
    return "";
}

std::vector<Report::Step> steps_of(const Trace& trace, std::string_view why, Trace::Clock::time_point end)
{
    std::vector<Report::Step> steps;
    for (const Trace::Step& step : trace.steps) {
        const auto took = std::chrono::round<std::chrono::milliseconds>(step.ended.value_or(end) - step.begun);
        steps.push_back({std::string(name_of(step.stage)), took, step.ended ? step.words : std::string(why)});
    }
    return steps;
}

json::object to_json(const Report& report)
{
    json::array steps;
    for (const auto& step : report.steps)
        steps.push_back({{"step", step.name}, {"ms", step.took.count()}, {"words", step.words}});
    return {{"place", report.place},
            {"pressed_by", report.pressed_by},
            {"note", report.note},
            {"outcome", report.outcome},
            {"counts", report.counts},
            {"table_row", report.table_row},
            {"mode", report.mode},
            {"account", report.account},
            {"from", report.from},
            {"sender", report.sender},
            {"envelope_sender", report.envelope_sender},
            {"to", report.to},
            {"server", report.server},
            {"message_id", report.message_id},
            {"failed_at", report.failed_at},
            {"words", report.words},
            {"what_to_do", report.what_to_do},
            {"steps", std::move(steps)}};
}

std::string to_lines(const Report& report)
{
    std::string lines;
    const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty())
            lines += fmt::format("{:<16}{}\n", name, value);
    };
    add("test of", report.place);
    add("note", report.note);
    add("row", report.table_row);
    add("mode", report.mode);
    add("account", report.account);
    add("From", report.from);
    add("Sender", report.sender);
    add("envelope sender", report.envelope_sender);
    add("to", report.to);
    add("Message-ID", report.message_id);
    for (const auto& step : report.steps)
        lines += fmt::format("  {:<16}{:>6} ms  {}\n", step.name, step.took.count(), step.words);
    if (report.is_accepted())
        lines += fmt::format("accepted by {}: {}\n", report.server, report.words);
    else if (report.outcome == "held")
        lines += fmt::format("nothing was sent: {}\n", report.words);
    else if (report.outcome == "in_doubt")
        lines += fmt::format("in doubt: {} may have taken it: {}\n", report.server, report.words);
    else
        lines += fmt::format("not accepted, at {}: {}\n", report.failed_at, report.words);
    add("what to do", report.what_to_do);
    return lines;
}

} // namespace mailroom::test_mail
