#include "service/rules/what_if.hpp"

#include "config/text.hpp"

#include <map>
#include <optional>
#include <set>

namespace mailroom::rules {
namespace {

using SubjectKind = Subject::Kind;
using DocumentMap = std::map<std::int32_t, DocumentKind>;

std::string shared_mode_in_effect(const MailSettings& settings)
{
    return std::string(to_string(settings.general.mode));
}

std::string mode_in_effect(const User& user, const MailSettings& settings)
{
    return std::string(to_string(user.mode.value_or(settings.general.default_user_mode)));
}

std::string mode_in_effect(const DocumentKind& document, const MailSettings& settings)
{
    return document.mode == LinkMode::general ? shared_mode_in_effect(settings) : std::string(to_string(document.mode));
}

Prospect prospect_of(const Decision& decision, std::string mode)
{
    Prospect prospect;
    prospect.table_row = decision.table_row;
    prospect.mode = std::move(mode);
    if (const Hold* hold = decision.hold()) {
        prospect.hold = describe(*hold);
        return prospect;
    }
    const Identity& identity = *decision.identity();
    prospect.account = identity.account;
    prospect.server = identity.host.empty() ? "" : identity.host + ":" + std::to_string(identity.port.number());
    prospect.from = to_string(identity.from);
    prospect.sender = identity.sender ? identity.sender->written() : "";
    return prospect;
}

Prospect nobody()
{
    Prospect prospect;
    prospect.hold = "not there";
    return prospect;
}

const User* user_named(const MailSettings& settings, const std::string& code)
{
    const auto id = settings.user_ids.find(code);
    return id == settings.user_ids.end() ? nullptr : &settings.users.at(id->second);
}

Prospect for_mobile(const Reading& reading)
{
    Facts facts;
    facts.source = Source::mobile;
    return prospect_of(resolve_sender(facts, reading.settings, reading.knowledge),
                       shared_mode_in_effect(reading.settings));
}

Prospect for_user(const Reading& reading, const std::string& code)
{
    const User* const user = user_named(reading.settings, code);
    if (user == nullptr)
        return nobody();
    Facts facts;
    facts.user = user->id;
    facts.user_code = code;
    return prospect_of(resolve_sender(facts, reading.settings, reading.knowledge),
                       mode_in_effect(*user, reading.settings));
}

// Whoever posts it decides what its Outlook does; so that is left open here.
bool is_up_to_who_posts(const Decision& decision)
{
    const Hold* const hold = decision.hold();
    return hold != nullptr && hold->reason == HoldReason::no_user;
}

Prospect for_document(const Reading& reading, SubjectKind kind, const DocumentKind* document)
{
    if (document == nullptr)
        return nobody();
    if (trimmed(document->from).empty()) {
        Prospect standard;
        standard.table_row = kind == SubjectKind::row ? "M1" : "D1";
        return standard;
    }
    Facts facts;
    facts.addressed = true;
    (kind == SubjectKind::row ? facts.row : facts.model) = document->id;
    const Decision decision = resolve_sender(facts, reading.settings, reading.knowledge);
    Prospect prospect = prospect_of(decision, mode_in_effect(*document, reading.settings));
    if (is_up_to_who_posts(decision)) {
        prospect.hold.clear();
        prospect.from = trimmed(document->from);
    }
    return prospect;
}

const DocumentKind* document_named(const DocumentMap& documents, const std::string& code)
{
    for (const auto& [id, document] : documents) {
        if (document.code == code)
            return &document;
    }
    return nullptr;
}

// How many messages wait for each: by the code of who has that id in either reading.
class WaitingCount {
public:
    WaitingCount(const Reading& before, const Reading& after) : before_(before.settings), after_(after.settings) {}

    void add(const Waiting& waiting)
    {
        const Facts& facts = waiting.facts;
        switch (classify(facts)) {
        case Category::mobile:
            counts_[{SubjectKind::general, ""}] += waiting.messages;
            break;
        case Category::standard:
            counts_[{SubjectKind::user, code_of(&MailSettings::users, facts.user,
                                                std::string(trimmed(facts.user_code)))}] += waiting.messages;
            break;
        case Category::mass:
            counts_[{SubjectKind::row, code_of(&MailSettings::rows, facts.row, {})}] += waiting.messages;
            break;
        case Category::dispatch:
            counts_[{SubjectKind::model, code_of(&MailSettings::models, facts.model, {})}] += waiting.messages;
            break;
        }
    }

    std::int64_t of(SubjectKind kind, const std::string& code) const
    {
        const auto found = counts_.find({kind, code});
        return found == counts_.end() ? 0 : found->second;
    }

private:
    template <class Map>
    std::string code_of(Map MailSettings::*map, std::optional<std::int32_t> id, const std::string& otherwise) const
    {
        for (const MailSettings* settings : {&before_, &after_}) {
            if (!id)
                return otherwise;
            if (const auto found = (settings->*map).find(*id); found != (settings->*map).end())
                return found->second.code;
        }
        return otherwise;
    }

    const MailSettings& before_;
    const MailSettings& after_;
    std::map<std::pair<SubjectKind, std::string>, std::int64_t> counts_;
};

std::set<std::string> user_codes(const Reading& before, const Reading& after)
{
    std::set<std::string> codes;
    for (const Reading* reading : {&before, &after}) {
        for (const auto& [code, id] : reading->settings.user_ids)
            codes.insert(code);
    }
    return codes;
}

std::set<std::string> document_codes(const DocumentMap& before, const DocumentMap& after)
{
    std::set<std::string> codes;
    for (const DocumentMap* documents : {&before, &after}) {
        for (const auto& [id, document] : *documents)
            codes.insert(document.code);
    }
    return codes;
}

} // namespace

std::vector<Difference> what_if(const Reading& before, const Reading& after, const std::vector<Waiting>& waiting)
{
    WaitingCount count(before, after);
    for (const Waiting& group : waiting)
        count.add(group);
    std::vector<Difference> differences;
    const auto compare = [&](SubjectKind kind, const std::string& code, Prospect old, Prospect now) {
        if (old != now)
            differences.push_back({kind, code, std::move(old), std::move(now), count.of(kind, code)});
    };
    compare(SubjectKind::general, "", for_mobile(before), for_mobile(after));
    for (const std::string& code : user_codes(before, after))
        compare(SubjectKind::user, code, for_user(before, code), for_user(after, code));
    for (const auto& [kind, documents] :
         {std::pair{SubjectKind::row, &MailSettings::rows}, std::pair{SubjectKind::model, &MailSettings::models}}) {
        const DocumentMap& old = before.settings.*documents;
        const DocumentMap& now = after.settings.*documents;
        for (const std::string& code : document_codes(old, now))
            compare(kind, code, for_document(before, kind, document_named(old, code)),
                    for_document(after, kind, document_named(now, code)));
    }
    return differences;
}

} // namespace mailroom::rules
