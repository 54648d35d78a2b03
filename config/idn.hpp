// Domain names of other scripts as the A-labels that DNS and mail servers know (IDNA2008, RFC 5891): bücher.example is
// xn--bcher-kva.example there. The only place that knows libidn2.
#pragma once

#include "config/error.hpp"

#include <string>
#include <string_view>

namespace mailroom {

// `domain` is UTF-8 without NUL. Capitals and wide forms are mapped as people mean them (UTS #46, non-transitional: ß
// stays ß); what no domain may have is an error that says why.
Result<std::string> to_a_labels(std::string_view domain);

} // namespace mailroom
