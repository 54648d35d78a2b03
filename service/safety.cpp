#include "service/safety.hpp"

#include "transport/mime/header_field.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mailroom {
namespace {

constexpr std::size_t most_named = 50;      // original recipients in the header, ours
constexpr std::size_t longest_words = 1024; // octets, Outcome::text

bool is_allowed(const Safety& safety, const MailAddress& address)
{
    const auto listed = [&](std::string_view text) {
        return std::ranges::find(*safety.allow_only, ascii_lower(text)) != safety.allow_only->end();
    };
    return !safety.allow_only || listed(address.str()) || listed(address.domain());
}

std::string listed(const std::vector<MailAddress>& addresses)
{
    std::string text;
    for (std::size_t i = 0; i < std::min(addresses.size(), most_named); ++i)
        text += (i == 0 ? "" : ", ") + addresses[i].str();
    if (addresses.size() > most_named)
        text += fmt::format(" and {} more", addresses.size() - most_named);
    return text;
}

std::string original_recipients(const std::vector<MailAddress>& recipients)
{
    std::string out;
    auto text = HeaderText::make(listed(recipients));
    if (!text) // longer than a header field may be
        text = HeaderText::make(fmt::format("{} addresses", recipients.size()));
    if (text)
        mime::append_unstructured(out, "X-Mailroom-Original-Recipients", *text, mime::Unstructured::token);
    return out;
}

Outcome not_allowed()
{
    return {Verdict::give_up,
            Scope::recipient,
            Cause::none,
            Stage::connect,
            0,
            {},
            "not allowed on this system ([safety] allow_only)",
            std::nullopt};
}

int rank_of(Verdict verdict)
{
    switch (verdict) {
    case Verdict::accepted:
        return 3;
    case Verdict::in_doubt:
        return 2;
    case Verdict::try_again:
        return 1;
    case Verdict::give_up:
        return 0;
    }
    return 0;
}

void say_redirected(const Safety& safety, Outcome& outcome)
{
    for (const std::string& note :
         {fmt::format(" [redirected to {} by [safety] redirect_to]", listed(safety.redirect_to)),
          std::string(" [redirected by [safety] redirect_to]")}) {
        if (outcome.text.size() + note.size() > longest_words)
            continue;
        outcome.text += note;
        return;
    }
}

Delivery redirected(const Safety& safety, const Guarded& guarded, Delivery delivery)
{
    if (!delivery.server.empty())
        say_redirected(safety, delivery.outcome);
    if (delivery.recipients.empty())
        return delivery;
    Outcome best = *std::ranges::max_element(delivery.recipients, {},
                                             [](const Outcome& outcome) { return rank_of(outcome.verdict); });
    say_redirected(safety, best);
    delivery.recipients.assign(guarded.allowed.size(), best);
    return delivery;
}

} // namespace

std::string describe(const Safety& safety)
{
    if (!safety.redirect_to.empty())
        return fmt::format("everything is redirected to {} ([safety] redirect_to)", listed(safety.redirect_to));
    if (!safety.allow_only)
        return {};
    if (safety.allow_only->empty())
        return "nobody gets mail ([safety] allow_only is empty)";
    const std::vector<std::string>& allowed = *safety.allow_only;
    std::string text;
    for (std::size_t i = 0; i < std::min(allowed.size(), most_named); ++i)
        text += (i == 0 ? "" : ", ") + allowed[i];
    if (allowed.size() > most_named)
        text += fmt::format(" and {} more", allowed.size() - most_named);
    return fmt::format("only {} get mail ([safety] allow_only)", text);
}

Guarded guard(const Safety& safety, const smtp::Envelope& envelope)
{
    Guarded guarded{{envelope.sender, {}, envelope.in_header_beyond_ascii}, {}, {}, !safety.redirect_to.empty()};
    if (guarded.is_redirected) {
        guarded.envelope.recipients = safety.redirect_to;
        guarded.allowed.assign(envelope.recipients.size(), true);
        guarded.header = original_recipients(envelope.recipients);
        return guarded;
    }
    for (const MailAddress& recipient : envelope.recipients) {
        guarded.allowed.push_back(is_allowed(safety, recipient));
        if (guarded.allowed.back())
            guarded.envelope.recipients.push_back(recipient);
    }
    return guarded;
}

Delivery told_of_all(const Safety& safety, const Guarded& guarded, Delivery delivery)
{
    if (guarded.is_redirected)
        return redirected(safety, guarded, std::move(delivery));
    if (std::ranges::find(guarded.allowed, false) == guarded.allowed.end())
        return delivery;
    const auto count = static_cast<std::size_t>(std::ranges::count(guarded.allowed, true));
    if (count == 0) {
        delivery.outcome = not_allowed();
        delivery.recipients.assign(guarded.allowed.size(), not_allowed());
        return delivery;
    }
    const bool was_sent =
        delivery.outcome.verdict == Verdict::accepted || delivery.outcome.verdict == Verdict::in_doubt;
    if (delivery.recipients.empty() && !was_sent)
        return delivery; // nobody was tried: those who are not allowed are refused when somebody is
    std::vector<Outcome> all;
    auto next = delivery.recipients.begin();
    for (const bool is_allowed : guarded.allowed) {
        if (!is_allowed)
            all.push_back(not_allowed());
        else
            all.push_back(next != delivery.recipients.end() ? *next++ : delivery.outcome);
    }
    delivery.recipients = std::move(all);
    return delivery;
}

} // namespace mailroom
