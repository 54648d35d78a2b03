// A server's replies: however the octets are cut, the same replies or the same refusal come out.
#include "transport/smtp/reply.hpp"

#include "config/text.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string>
#include <vector>

using namespace mailroom;
using fuzz::require;

namespace {

struct Heard {
    std::vector<smtp::Reply> replies;
    std::string refusal; // empty: none
};

bool is_shown(std::string_view text)
{
    return is_utf8(text) && std::none_of(text.begin(), text.end(),
                                         [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

void check(const smtp::Reply& reply)
{
    require(reply.code >= 200 && reply.code <= 599, "a code is between 200 and 599");
    require(!reply.lines.empty() && reply.lines.size() <= smtp::ReplyParser::max_lines, "the lines are limited");
    for (const std::string& line : reply.lines)
        require(is_shown(line) && line.size() <= smtp::ReplyParser::max_line, "a line can be shown and logged");
    const std::string text = reply.text();
    require(is_shown(text) && text.size() <= smtp::max_text, "the text can be shown and stored");
    require(reply.enhanced.empty() || (reply.enhanced.front() - '0' == reply.category() && reply.enhanced.size() <= 9),
            "a status is of the code's class");
}

Heard hear(std::string_view octets, std::size_t piece)
{
    Heard heard;
    smtp::ReplyParser parser;
    while (!octets.empty()) {
        std::string_view part = octets.substr(0, piece);
        octets.remove_prefix(part.size());
        do {
            const std::size_t before = part.size();
            auto reply = parser.feed(part);
            if (!reply) {
                heard.refusal = reply.error().text;
                require(is_shown(heard.refusal), "a refusal can be shown");
                return heard;
            }
            require(*reply || part.empty(), "all is taken where no reply came out");
            require(part.size() < before || before == 0, "it goes on");
            if (*reply)
                heard.replies.push_back(**reply);
        } while (!part.empty());
    }
    return heard;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view octets = fuzz::text_of(data, size);
    const Heard whole = hear(octets, size);
    for (const smtp::Reply& reply : whole.replies)
        check(reply);
    for (const std::size_t piece : {1U, 7U}) {
        const Heard cut = hear(octets, piece);
        require(cut.refusal == whole.refusal, "the refusal does not depend on where the octets are cut");
        require(cut.replies.size() == whole.replies.size(), "nor does the number of replies");
        for (std::size_t i = 0; i < cut.replies.size(); ++i)
            require(cut.replies[i].code == whole.replies[i].code && cut.replies[i].lines == whole.replies[i].lines &&
                        cut.replies[i].enhanced == whole.replies[i].enhanced,
                    "nor do the replies");
    }
    const std::string shown = printable(octets, 100);
    require(is_shown(shown) && shown.size() <= 100, "what is printable can be shown");
    return 0;
}
