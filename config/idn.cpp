#include "config/idn.hpp"

#include <idn2.h>
#include <memory>

namespace mailroom {

Result<std::string> to_a_labels(std::string_view domain)
{
    const std::string text(domain);
    char* found = nullptr;
    const int status = idn2_to_ascii_8z(text.c_str(), &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    const std::unique_ptr<char, void (*)(void*)> owner(found, idn2_free);
    if (status != IDN2_OK)
        return Error{idn2_strerror(status)};
    return Result<std::string>(boost::system::in_place_value, found); // plain: a text could as well be an Error
}

} // namespace mailroom
