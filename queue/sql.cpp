#include "queue/sql.hpp"

#include "queue/embedded_sql.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace mailroom::queue {

pg::Statement sql(std::string_view name)
{
    const auto& files = embedded_sql();
    const auto found =
        std::ranges::find_if(files, [&](const EmbeddedSql& file) { return file.folder == "sql" && file.name == name; });
    if (found == files.end())
        throw std::logic_error("there is no statement " + std::string(name));
    return {found->name, found->text};
}

pg::DbResult<std::int64_t> number_of(pg::Connection& connection, std::string_view name, const pg::Params& params,
                                     std::chrono::milliseconds limit)
{
    auto rows = connection.run(sql(name), params, limit);
    if (!rows)
        return rows.error();
    return rows->number(0, 0);
}

} // namespace mailroom::queue
