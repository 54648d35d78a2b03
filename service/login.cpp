#include "service/login.hpp"

#include <utility>

namespace mailroom {

Result<Login> login_for(const rules::Identity& identity, const queue::Keyring* keys)
{
    if (identity.mode != Mode::smtp) // whoever asks: an office365 account never goes by SMTP
        return Error{"an account of Office 365 does not log in to an SMTP server"};
    Login login{{identity.host, identity.port, identity.security}, std::nullopt, {}};
    if (identity.password == nullptr)
        return login;
    if (keys == nullptr)
        return Error{"this service has no key to open the password with"};
    auto password = keys->open(*identity.password, queue::password_place(identity.password_owner));
    if (!password)
        return password.error();
    login.fingerprint = keys->fingerprint(*identity.password, identity.host, identity.account, *password);
    login.credentials = smtp::Credentials{identity.account, *std::move(password)};
    return login;
}

} // namespace mailroom
