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

std::string key_path(const ServiceFile& file)
{
    std::string path = credential();
    return path.empty() ? file.secrets.key_file : path;
}

Result<std::optional<queue::Keyring>> keyring(const ServiceFile& file)
{
    const std::string path = key_path(file);
    if (path.empty())
        return std::optional<queue::Keyring>();
    auto keys = queue::Keyring::load(path);
    if (!keys)
        return keys.error();
    return std::optional(*std::move(keys));
}

} // namespace mailroom::host
