// Writes the steps of resolve_sender into a Trace, if there is one. Says what was looked at and decides nothing.
// Internal to the rules.
#pragma once

#include "service/rules/case.hpp"
#include "service/rules/sender.hpp"

namespace mailroom::rules {

void trace_case(Trace* trace, const Case& c);
void trace_user(Trace* trace, const Case& c);
void trace_mode(Trace* trace, const Case& c, const Deciding& deciding);
void trace_edition(Trace* trace, const Case& c, const Deciding& deciding);
void trace_desktop(Trace* trace, const Case& c, const Deciding& deciding);
void trace_fields(Trace* trace, const Case& c, const Sender& sender);
void trace_cleartext(Trace* trace, const Sender& sender);
void trace_account(Trace* trace, const Case& c, const Sender& sender);
void trace_pair(Trace* trace, const Identity& identity);
void trace_sending(Trace* trace, const Sender& sender, const Identity& identity);
void trace_answer(Trace* trace, const Decision& decision); // the result of the last step

std::string describe(const Identity& identity); // one line: account, server, From, Sender, envelope sender
std::string describe(const Handover& handover);

} // namespace mailroom::rules
