#include "service/safe_transport.hpp"

#include <utility>

namespace mailroom {
namespace {

// A content with lines of ours before its own.
class Headed final : public Content {
public:
    Headed(const std::string& header, Content& content) : header_(header), content_(content) {}
    std::uint64_t size() const override { return header_.size() + content_.size(); }
    boost::asio::awaitable<std::string_view> next() override
    {
        if (!std::exchange(began_, true) && !header_.empty())
            co_return header_;
        const std::string_view piece = co_await content_.next();
        co_return piece;
    }

private:
    const std::string& header_;
    Content& content_;
    bool began_ = false;
};

// What is lent to the transport for one letter.
struct Lent {
    Lent(const Safety& safety, const Letter& letter)
        : identity(letter.identity), guarded(guard(safety, letter.envelope)), content(guarded.header, letter.content)
    {}
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    ~Lent() = default;
    Letter letter() { return {identity, guarded.envelope, content}; }

    const rules::Identity& identity;
    Guarded guarded;
    Headed content;
};

} // namespace

struct SafeTransport::BegunSafely final : Begun {
    BegunSafely(std::unique_ptr<Begun> what, Rules under) : begun(std::move(what)), rules(std::move(under)) {}
    std::unique_ptr<Begun> begun;
    Rules rules;
};

SafeTransport::SafeTransport(Transport& inner, Safety safety)
    : inner_(inner), rules_(std::make_shared<const Safety>(std::move(safety)))
{}

void SafeTransport::follow(Safety safety)
{
    if (!(safety == *rules_))
        rules_ = std::make_shared<const Safety>(std::move(safety));
}

boost::asio::awaitable<std::optional<smtp::Loss>> SafeTransport::commit(const Parcel& parcel, Rules rules) const
{
    const smtp::Loss changed{Cause::stopped, "[safety] was changed meanwhile"};
    if (rules != rules_)
        co_return changed;
    std::optional<smtp::Loss> loss;
    if (parcel.before_commit)
        loss = co_await parcel.before_commit();
    if (!loss && rules != rules_)
        co_return changed;
    co_return loss;
}

boost::asio::awaitable<Delivery> SafeTransport::deliver(const Parcel& parcel)
{
    const Rules rules = rules_;
    std::unique_ptr<Begun> begun;
    if (const std::unique_ptr<Begun> held = std::move(parcel.begun)) {
        auto& mine = dynamic_cast<BegunSafely&>(*held); // nobody else hands them out
        if (mine.rules == rules)
            begun = std::move(mine.begun);
    }
    Lent lent(*rules, parcel);
    Delivery delivery;
    if (!lent.guarded.envelope.recipients.empty()) {
        std::unique_ptr<Lent> behind;
        const std::function<boost::asio::awaitable<std::optional<smtp::Loss>>()> before_commit =
            [this, &parcel, &rules] { return commit(parcel, rules); };
        const std::function<std::optional<Letter>()> next = [this, &parcel, &rules,
                                                             &behind]() -> std::optional<Letter> {
            const auto letter = rules == rules_ ? parcel.next() : std::nullopt;
            if (!letter)
                return std::nullopt;
            behind = std::make_unique<Lent>(*rules, *letter);
            return behind->guarded.envelope.recipients.empty() ? std::nullopt : std::optional(behind->letter());
        };
        const Parcel inner{lent.letter(), before_commit, next, begun, parcel.expires, parcel.progress};
        delivery = co_await inner_.deliver(inner);
        if (begun)
            parcel.begun = std::make_unique<BegunSafely>(std::move(begun), rules);
    }
    co_return told_of_all(*rules, lent.guarded, std::move(delivery));
}

} // namespace mailroom
