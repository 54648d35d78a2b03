#include "service/host/names.hpp"

#include <boost/asio/ip/host_name.hpp>

#include <utility>

namespace mailroom::host {

std::string this_host()
{
    boost::system::error_code ec;
    const std::string host = boost::asio::ip::host_name(ec);
    return ec ? "unknown" : host;
}

smtp::ClientName client_name(const ServiceFile& file)
{
    auto name = smtp::ClientName::make(!file.smtp.client_name.empty() ? file.smtp.client_name : this_host());
    return name ? *std::move(name)
                : *smtp::ClientName::make("[127.0.0.1]"); // RFC 5321 section 4.1.4: no name, so a literal
}

} // namespace mailroom::host
