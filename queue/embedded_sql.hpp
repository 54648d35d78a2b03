// The SQL files of this folder, as they were when the program was built.
#pragma once

#include <string_view>
#include <vector>

namespace mailroom::queue {

struct EmbeddedSql {
    std::string_view folder; // migrations or sql
    std::string_view name;   // without .sql
    std::string_view text;
};

const std::vector<EmbeddedSql>& embedded_sql(); // sorted by folder and name

} // namespace mailroom::queue
