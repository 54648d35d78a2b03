// The category of a message, from the facts that were stored when it was enqueued (docs/rules.md, "Category").
#pragma once

#include "config/mail_settings.hpp"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace mailroom::rules {

enum class Source { erp, mobile }; // a property of the role that posted it

struct Facts {
    Source source = Source::erp;
    std::optional<std::int32_t> user; // the posting User's id; none: none named, or unknown when enqueued
    std::string user_code;            // as named; may be empty
    std::optional<std::int32_t> row;
    std::optional<std::int32_t> model;
    bool addressed = false; // the Row or Model had an address when the message was enqueued

    // NOLINTNEXTLINE(readability-implicit-bool-conversion): clang-tidy 14 takes the comparison of a bool for one
    auto operator<=>(const Facts&) const = default;
};

Category classify(const Facts& facts);

} // namespace mailroom::rules
