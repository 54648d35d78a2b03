// The page of `mailroom top`, as lines. Pure.
#pragma once

#include <boost/json/value.hpp>

#include <string>
#include <vector>

namespace mailroom {

std::vector<std::string> top_page(const boost::json::value& facts); // queue/sql/top.sql

} // namespace mailroom
