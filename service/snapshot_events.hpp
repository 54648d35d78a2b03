// What operators must know of the mail settings and of what is stored beside them, told anew whenever they are read.
#pragma once

#include "service/events.hpp"
#include "service/snapshot.hpp"

namespace mailroom {

// Passwords that need a key which is not here, logins and addresses that servers refuse. keys: null when the service
// has none, which it says by itself.
void tell_of_snapshot(Events& events, const Snapshot& snapshot, const queue::Keyring* keys);

} // namespace mailroom
