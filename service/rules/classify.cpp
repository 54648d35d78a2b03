#include "service/rules/classify.hpp"

namespace mailroom::rules {

Category classify(const Facts& facts)
{
    if (facts.source == Source::mobile)
        return Category::mobile;
    if (facts.row && facts.addressed)
        return Category::mass;
    if (facts.model && facts.addressed)
        return Category::dispatch;
    return Category::standard;
}

} // namespace mailroom::rules
