#include "service/doctor/finding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>

namespace mailroom::doctor {
namespace {

constexpr std::size_t level_width = 13;
constexpr std::size_t check_width = 15;

// Lines but the first stand below its text.
std::string indented(std::string_view text)
{
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        result += text[at];
        if (text[at] != '\n')
            continue;
        result.append(level_width + check_width, ' ');
        while (at + 1 < text.size() && text[at + 1] == ' ')
            ++at;
    }
    return result;
}

} // namespace

Finding fine(std::string_view check, std::string_view subject, std::string text)
{
    return {std::string(check), std::string(subject), Level::ok, std::move(text), {}};
}

Finding warning(std::string_view check, std::string_view subject, std::string text, std::string remedy)
{
    return {std::string(check), std::string(subject), Level::warning, std::move(text), std::move(remedy)};
}

Finding problem(std::string_view check, std::string_view subject, std::string text, std::string remedy)
{
    return {std::string(check), std::string(subject), Level::problem, std::move(text), std::move(remedy)};
}

Finding not_checked(std::string_view check, std::string_view subject, std::string_view because)
{
    return {std::string(check), std::string(subject), Level::not_checked, fmt::format("because {}", because), {}};
}

Findings the_first(const Findings& findings, std::size_t most)
{
    Findings result;
    for (auto begin = findings.begin(); begin != findings.end();) {
        const auto end = std::find_if(begin, findings.end(), [&](const Finding& f) { return f.check != begin->check; });
        Findings of_one(begin, end);
        begin = end;
        std::ranges::stable_sort(of_one, std::ranges::greater(), &Finding::level); // the worst are not left out
        if (of_one.size() > most) {
            const Level level = of_one[most].level; // none of the rest is worse
            const std::string more = fmt::format("and {} more", of_one.size() - most);
            of_one.resize(most);
            of_one.push_back({of_one.front().check, more, level, "all of them with --json", {}});
        }
        std::ranges::move(of_one, std::back_inserter(result));
    }
    return result;
}

std::string_view to_string(Level level)
{
    switch (level) {
    case Level::ok:
        return "ok";
    case Level::not_checked:
        return "not checked";
    case Level::warning:
        return "warning";
    case Level::problem:
        return "problem";
    }
    return "?";
}

boost::json::object to_json(const Finding& finding)
{
    const std::string_view level = finding.level == Level::not_checked ? "not_checked" : to_string(finding.level);
    return {{"check", finding.check},
            {"subject", finding.subject},
            {"level", boost::json::string_view(level.data(), level.size())},
            {"text", finding.text},
            {"remedy", finding.remedy}};
}

std::string to_lines(const Finding& finding)
{
    const std::string text = finding.subject.empty() ? finding.text : finding.subject + ": " + finding.text;
    std::string lines = fmt::format("{:<{}}{:<{}}{}\n", to_string(finding.level), level_width, finding.check,
                                    check_width, indented(text));
    if (!finding.remedy.empty())
        lines += fmt::format("{:<{}}-> {}\n", "", level_width + check_width, indented(finding.remedy));
    return lines;
}

} // namespace mailroom::doctor
