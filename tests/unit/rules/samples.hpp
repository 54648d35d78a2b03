// One small installation in which everything is complete, for tests to spoil: General, ANNA, the Row INV and the Model
// DUN.
#pragma once

#include "service/rules/resolve_sender.hpp"

#include <string>

namespace mailroom::rules::samples {

constexpr std::int32_t anna_id = 12;
constexpr std::int32_t row_id = 3;
constexpr std::int32_t model_id = 7;

struct World {
    MailSettings settings;
    Knowledge knowledge;
    Facts facts;

    General& general() { return settings.general; }
    User& anna() { return settings.users.at(anna_id); }
    DocumentKind& row() { return settings.rows.at(row_id); }
    DocumentKind& model() { return settings.models.at(model_id); }
    Decision resolve() const { return resolve_sender(facts, settings, knowledge); }
};

inline SmtpServer server(std::string host, int port = 587)
{
    SmtpServer result;
    result.host = std::move(host);
    result.port = *Port::make(port);
    return result;
}

// A standard message of ANNA, who inherits smtp from General.
inline World world()
{
    World w;
    General& general = w.general();
    general.default_user_mode = Mode::smtp;
    general.mode = Mode::smtp;
    general.account = "mailer@erp.example";
    general.server = server("smtp.erp.example");
    general.password = SealedSecret{1};
    User anna;
    anna.id = anna_id;
    anna.code = "ANNA";
    anna.email = "anna@erp.example";
    anna.password = SealedSecret{2};
    w.settings.users.emplace(anna.id, anna);
    w.settings.user_ids.emplace(anna.code, anna.id);
    w.settings.rows.emplace(row_id, DocumentKind{row_id, "INV", "Invoices", "invoices@erp.example", LinkMode::general});
    w.settings.models.emplace(model_id,
                              DocumentKind{model_id, "DUN", "Dunning", "dunning@erp.example", LinkMode::general});
    w.facts.user = anna_id;
    w.facts.user_code = "ANNA";
    return w;
}

inline Facts mass()
{
    Facts facts;
    facts.row = row_id;
    facts.addressed = true;
    return facts;
}

inline Facts dispatch()
{
    Facts facts;
    facts.model = model_id;
    facts.addressed = true;
    return facts;
}

inline Facts mobile()
{
    Facts facts;
    facts.source = Source::mobile;
    return facts;
}

inline std::string security(Security security)
{
    return security == Security::none ? "none" : security == Security::starttls ? "starttls" : "tls";
}

// One line for each answer: `send mailer@erp.example at smtp.erp.example:587/starttls as x@y [sender z@y] envelope
// z@y`, or the hold's description.
inline std::string answer_of(const Decision& decision)
{
    if (const Hold* hold = decision.hold())
        return describe(*hold);
    if (const Handover* handover = decision.handover())
        return "hand over " + std::string(to_string(handover->mode)) + " of " + handover->user_code + " as " +
               (handover->from ? to_string(*handover->from) : "its default");
    const Identity& i = *decision.identity();
    if (i.mode == Mode::office365)
        return "send office365 " + i.account + " as " + to_string(i.from);
    return "send " + (i.account.empty() ? "-" : i.account) + " at " + i.host + ":" + std::to_string(i.port.number()) +
           "/" + security(i.security) + " as " + to_string(i.from) +
           (i.sender ? " sender " + i.sender->str() : std::string()) + " envelope " + i.envelope_sender.str();
}

} // namespace mailroom::rules::samples
