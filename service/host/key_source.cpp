#include "service/host/key_source.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace mailroom::host {
namespace {

// systemd's LoadCredential=mailroom.key:FILE, which goes before the settings: then the file may be root's alone. Empty:
// there is none, or the unit's "none" (SetCredential), which stands for a file that is not there.
std::string credential()
{
    const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
    if (folder == nullptr)
        return {};
    std::string path = std::string(folder) + "/mailroom.key";
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    return !error && size != std::string_view("none").size() ? path : std::string(); // a key is ten times as long
}

} // namespace

Result<std::optional<queue::SealingKey>> sealing_key(const ServiceFile& file)
{
    std::string path = credential();
    if (path.empty())
        path = file.secrets.key_file;
    if (path.empty())
        return std::optional<queue::SealingKey>();
    auto key = queue::SealingKey::load(path);
    if (!key)
        return key.error();
    return std::optional(*std::move(key));
}

} // namespace mailroom::host
