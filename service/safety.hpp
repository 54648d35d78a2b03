// What a test system lets out ([safety] of the settings file): who stands in an envelope instead of, or of, those whom
// a message is for. Pure; SafeTransport is the one that asks. Header fields To and Cc are never changed.
#pragma once

#include "config/service_file.hpp"

#include "transport/outcome.hpp"
#include "transport/smtp/transaction.hpp"

#include <string>
#include <vector>

namespace mailroom {

using Safety = ServiceFile::Safety;

// One sentence for people, without a stop; empty: all goes to whom it is for.
std::string describe(const Safety& safety);

// A letter as it may go out.
struct Guarded {
    smtp::Envelope envelope;   // no recipients: nobody may get it
    std::vector<bool> allowed; // of the recipients whom it is for
    std::string header;        // to stand before its own, whole lines; empty: none
    bool is_redirected = false;
};
Guarded guard(const Safety& safety, const smtp::Envelope& envelope);

// What became of the guarded letter, told of the recipients whom it is for. Redirected: they share the fate of the
// address that fared best. A recipient who is not allowed is refused.
Delivery told_of_all(const Safety& safety, const Guarded& guarded, Delivery delivery);

} // namespace mailroom
