// What this machine is called: by itself, and towards mail servers.
#pragma once

#include "config/service_file.hpp"

#include "transport/smtp/command.hpp"

#include <string>

namespace mailroom::host {

std::string this_host();                               // "unknown" where the machine does not say
smtp::ClientName client_name(const ServiceFile& file); // [smtp] client_name, or this host's, or a literal

} // namespace mailroom::host
