// as(account, from). Internal to the rules.
#pragma once

#include "service/rules/resolve_sender.hpp"
#include "service/rules/sender.hpp"

namespace mailroom::rules {

Identity identity_of(const Sender& sender); // of which nothing is missing
Subject subject_of_owner(const Identity& identity, std::string_view field = {});

} // namespace mailroom::rules
