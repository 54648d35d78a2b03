#include "queue/decision_store.hpp"

#include "queue/json_array.hpp"
#include "queue/sql.hpp"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <array>

namespace mailroom::queue {

DecisionId decision_id(std::string_view why)
{
    std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
    SHA256(reinterpret_cast<const unsigned char*>(why.data()), why.size(), digest.data());
    std::uint64_t id = 0;
    for (std::size_t i = 0; i < sizeof id; ++i)
        id = id << 8U | digest.at(i);
    return id == 0 ? 1 : static_cast<DecisionId>(id);
}

pg::DbResult<void> record_decisions(pg::Connection& connection, const std::vector<RecordedDecision>& decisions)
{
    std::vector<std::string> objects;
    objects.reserve(decisions.size());
    for (const RecordedDecision& decision : decisions)
        objects.push_back(fmt::format(R"({{"id":{},"why":{}}})", decision.id, decision.why));
    auto done = connection.run(sql("record_decisions"), pg::Params().text(json_array(objects)));
    if (!done)
        return done.error();
    return {};
}

} // namespace mailroom::queue
