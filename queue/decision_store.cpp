#include "queue/decision_store.hpp"

#include "queue/sql.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <array>

namespace mailroom::queue {

DecisionId decision_id(std::string_view json)
{
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(json.data()), json.size(), digest.data());
    std::uint64_t id = 0;
    for (std::size_t i = 0; i < sizeof id; ++i)
        id = id << 8U | digest.at(i);
    return id == 0 ? 1 : static_cast<DecisionId>(id);
}

pg::DbResult<void> record_decisions(pg::Connection& connection, const std::vector<Why>& decisions)
{
    std::string array = "[";
    for (const Why& why : decisions)
        array += fmt::format(R"({}{{"id":{},"why":{}}})", array.size() == 1 ? "" : ",", why.id, why.json);
    auto done = connection.run(sql("record_decisions"), pg::Params().text(array + "]"));
    if (!done)
        return done.error();
    return {};
}

} // namespace mailroom::queue
