// Objects that are JSON already, as the one array that a statement takes.
#pragma once

#include <string>

namespace mailroom::queue {

template <class Texts>
std::string json_array(const Texts& objects)
{
    std::size_t size = 2;
    for (const auto& object : objects)
        size += object.size() + 1;
    std::string array;
    array.reserve(size);
    for (const auto& object : objects)
        array.append(array.empty() ? "[" : ",").append(object);
    return array.append(array.empty() ? "[]" : "]");
}

} // namespace mailroom::queue
