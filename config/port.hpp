// A TCP port that a client can connect to: 1 to 65535.
#pragma once

#include "config/error.hpp"

#include <cstdint>
#include <string>

namespace mailroom {

class Port {
public:
    static Result<Port> make(std::int64_t number)
    {
        if (number < 1 || number > 65535)
            return Error{std::to_string(number) + " is not a port (1 to 65535)"};
        return Port(static_cast<std::uint16_t>(number));
    }

    std::uint16_t number() const { return number_; }

    friend auto operator<=>(Port, Port) = default;

private:
    explicit Port(std::uint16_t number) : number_(number) {}
    std::uint16_t number_;
};

} // namespace mailroom
