#include "queue/pg/result.hpp"

namespace mailroom::pg {

Params& Params::text(std::string_view value)
{
    values_.push_back({std::string(value), false, false});
    return *this;
}

Params& Params::text_or_null(std::string_view value)
{
    return value.empty() ? null() : text(value);
}

Params& Params::number(std::int64_t value)
{
    values_.push_back({std::to_string(value), false, false});
    return *this;
}

Params& Params::truth(bool value)
{
    values_.push_back({value ? "t" : "f", false, false});
    return *this;
}

Params& Params::bytes(std::span<const std::uint8_t> value)
{
    values_.push_back({std::string(value.begin(), value.end()), false, true});
    return *this;
}

Params& Params::null()
{
    values_.push_back({{}, true, false});
    return *this;
}

Params& Params::numbers(std::span<const std::int64_t> values)
{
    std::string array = "{";
    for (const auto value : values) {
        if (array.size() > 1)
            array += ',';
        array += std::to_string(value);
    }
    array += '}';
    values_.push_back({std::move(array), false, false});
    return *this;
}

} // namespace mailroom::pg
