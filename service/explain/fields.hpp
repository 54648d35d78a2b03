// Reads the members of one JSON object and gathers everything that is wrong with it, each with where it stands.
#pragma once

#include "config/error.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::explain {

using Problems = std::vector<std::string>;
Error all_of(const Problems& problems); // a line each

class Fields {
public:
    // value: anything; what is no object is a problem, and then has no members.
    Fields(const boost::json::value& value, std::string place, Problems& problems);

    void allow_only(std::initializer_list<std::string_view> names);
    bool has(std::string_view name) const; // null counts as absent
    std::string text(std::string_view name);
    std::optional<bool> truth(std::string_view name);
    std::optional<std::int64_t> number(std::string_view name);
    const boost::json::array& list(std::string_view name); // absent: empty
    const boost::json::value* member(std::string_view name) const;
    void problem(std::string_view name, std::string_view text);
    const std::string& place() const { return place_; }

private:
    boost::json::object object_;
    std::string place_;
    Problems& problems_;
};

} // namespace mailroom::explain
