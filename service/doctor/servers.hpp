// The mail servers of the accounts that send by SMTP: reached, greeted, their certificates looked at, each login tried
// once where it is not paused. No message is sent.
#pragma once

#include "queue/keyring.hpp"
#include "service/doctor/finding.hpp"
#include "service/login.hpp"
#include "service/snapshot.hpp"
#include "transport/smtp/command.hpp"
#include "transport/tls.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace mailroom::doctor {

struct Account {
    std::string name; // general, user ANNA
    Login login;
    std::string not_tried;  // why its login is left alone; empty: it is tried
    std::string if_refused; // what to do then
};

struct Accounts {
    std::vector<Account> accounts;
    Findings findings; // of those that are not complete
};
// Of General and of each enabled User in SMTP mode. only: general, or codes of users; empty: all. keys: null where this
// process has none.
Accounts smtp_accounts(const Snapshot& snapshot, const queue::Keyring* keys, const std::vector<std::string>& only);

struct Visitor {
    const tls::ClientContext* authorities; // null: there are none, so that only servers without TLS are reached
    smtp::ClientName client_name;
    // Called for each login that was refused, so that it is not tried again and again. What became of that, in words.
    std::function<std::string(const Account& account, const Outcome& outcome)> refused;
    std::function<void(Findings findings)> tell; // of one server, when all is known of it
    std::size_t most_logins; // of one host: a hundred failing logins lock out whoever shares its address
};

// Two hosts at a time, of each one account after the other, and each password once; no step for longer than 15 s
// (ours).
void visit_servers(const std::vector<Account>& accounts, const Visitor& visitor);

std::string words_of(const Outcome& outcome); // 535 5.7.8 wrong login or password

// Less than 14 days left are a warning, ours.
Finding about_certificate(const std::string& server, std::chrono::sys_seconds end, std::chrono::sys_seconds now);
Finding about_unreachable(const std::string& server, const Outcome& outcome);

} // namespace mailroom::doctor
