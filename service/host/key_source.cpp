#include "service/host/key_source.hpp"

#include <cstdlib>

namespace mailroom::host {

Result<std::optional<queue::SealingKey>> sealing_key(const ServiceFile& file)
{
    std::string path = file.secrets.key_file;
    if (path.empty()) {
        const char* const credentials =
            std::getenv("CREDENTIALS_DIRECTORY"); // systemd's LoadCredential=mailroom.key:...
        if (credentials == nullptr)
            return std::optional<queue::SealingKey>();
        path = std::string(credentials) + "/mailroom.key";
    }
    auto key = queue::SealingKey::load(path);
    if (!key)
        return key.error();
    return std::optional(*std::move(key));
}

} // namespace mailroom::host
