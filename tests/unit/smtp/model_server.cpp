#include "tests/unit/smtp/model_server.hpp"

#include "tests/unit/smtp/dialogue.hpp"

#include <ostream>

namespace mailroom::smtp {

using namespace test;

std::string_view name_of(Fault fault)
{
    switch (fault) {
    case Fault::close:
        return "close";
    case Fault::reset:
        return "reset";
    case Fault::half_a_reply:
        return "half a reply";
    case Fault::closing:
        return "421";
    case Fault::closing_at_once:
        return "421 behind the reply";
    case Fault::silence:
        return "silence";
    case Fault::garbage:
        return "garbage";
    case Fault::refused_for_now:
        return "450";
    case Fault::refused_for_good:
        return "550";
    case Fault::unknown_command:
        return "500";
    case Fault::out_of_sequence:
        return "503";
    case Fault::out_of_place:
        return "a reply out of place";
    case Fault::twice:
        return "the reply twice";
    }
    return "";
}

std::ostream& operator<<(std::ostream& out, const Place& place)
{
    return out << "message " << place.message << ", " << to_string(place.stage) << " " << place.number;
}

ModelServer::ModelServer(Offers offers, Faults faults, Order order)
    : offers_(std::move(offers)), faults_(std::move(faults)), order_(order)
{}

Script ModelServer::script()
{
    Answers start;
    if (offers_.security == Security::implicit_tls)
        start = start_tls();
    const Answers greeting = react(Stage::greeting, "220 mail.example.com ESMTP\r\n").answers;
    start.insert(start.end(), greeting.begin(), greeting.end());
    Script script;
    for (const Answer& answer : start)
        script.push_back(std::visit([](const auto& one) { return Step(one); }, answer));
    script.push_back(Converse{[this](const std::string& line) { return answer(line); }});
    return script;
}

ModelServer::Answers ModelServer::answer(const std::string& line)
{
    if (in_content_)
        return answer_content(line);
    if (in_login_)
        return answer_login(line);
    if (line.starts_with("EHLO ") || line.starts_with("HELO "))
        return answer_ehlo(line);
    if (line == "STARTTLS")
        return answer_starttls();
    if (line.starts_with("AUTH "))
        return answer_auth(line);
    if (line.starts_with("MAIL FROM:<"))
        return answer_mail(line);
    if (line.starts_with("RCPT TO:<"))
        return answer_rcpt(line);
    if (line == "DATA")
        return answer_data();
    if (line == "RSET") {
        sender_.reset();
        recipients_.clear();
        return react(Stage::rset, ok()).answers;
    }
    if (line == "QUIT")
        return {Say{"221 bye\r\n"}, Close{}};
    protests_.push_back("no command: " + line);
    return {Say{refusal(500, "what?")}};
}

// ---- The session ----------------------------------------------------------------------------------------------------

ModelServer::Answers ModelServer::answer_ehlo(const std::string& line)
{
    const bool extended = line.starts_with("E");
    if (extended && !offers_.ehlo)
        return react(Stage::ehlo, refusal(502, "unknown")).answers;
    return react(Stage::ehlo, extended ? ehlo_reply() : "250 mail.example.com\r\n").answers;
}

std::string ModelServer::ehlo_reply() const
{
    std::string reply = "250-mail.example.com\r\n";
    if (offers_.security == Security::starttls && !tls_)
        reply += "250-STARTTLS\r\n";
    if (!offers_.mechanisms.empty())
        reply += "250-AUTH " + offers_.mechanisms + "\r\n";
    if (offers_.pipelining)
        reply += "250-PIPELINING\r\n";
    if (offers_.size)
        reply += "250-SIZE 1000000\r\n";
    if (offers_.smtputf8)
        reply += "250-SMTPUTF8\r\n";
    if (offers_.enhanced_status_codes)
        reply += "250-ENHANCEDSTATUSCODES\r\n";
    return reply + "250 HELP\r\n";
}

ModelServer::Answers ModelServer::answer_starttls()
{
    Reaction reaction = react(Stage::starttls, "220 go\r\n");
    if (reaction.is_obeyed) {
        const Answers tls = start_tls();
        reaction.answers.insert(reaction.answers.end(), tls.begin(), tls.end());
    }
    return std::move(reaction.answers);
}

ModelServer::Answers ModelServer::start_tls()
{
    Reaction reaction = react(Stage::tls, "");
    if (!reaction.is_obeyed || reaction.code == 0)
        return std::move(reaction.answers);
    tls_ = true;
    return {StartTls{}};
}

ModelServer::Answers ModelServer::answer_auth(const std::string& line)
{
    if (offers_.security != Security::none && !tls_)
        protests_.push_back("a password in clear");
    const bool plain = line.starts_with("AUTH PLAIN ");
    if (offers_.mechanisms.find(plain ? "PLAIN" : "LOGIN") == std::string::npos)
        protests_.push_back("a mechanism that is not offered: " + line);
    if (plain)
        return react(Stage::auth, offers_.takes_plain ? "235 welcome\r\n" : refusal(504, "not this")).answers;
    Reaction reaction = react(Stage::auth, "334 VXNlcm5hbWU6\r\n");
    if (reaction.is_obeyed) {
        in_login_ = true;
        login_lines_ = 0;
    }
    return std::move(reaction.answers);
}

ModelServer::Answers ModelServer::answer_login(const std::string& line)
{
    if (line.find(' ') != std::string::npos) { // the client believes that the login is over
        in_login_ = false;
        return {Say{refusal(501, "no base64")}};
    }
    const bool is_over = ++login_lines_ == 2;
    Reaction reaction = react(Stage::auth, is_over ? "235 welcome\r\n" : "334 UGFzc3dvcmQ6\r\n");
    if (is_over || !reaction.is_obeyed)
        in_login_ = false;
    return std::move(reaction.answers);
}

// ---- The messages ---------------------------------------------------------------------------------------------------

void ModelServer::check_parameters(const std::string& line)
{
    const std::string parameters = line.substr(line.find('>') + 1);
    const auto size = parameters.find(" SIZE=");
    if (size != std::string::npos && !offers_.size)
        protests_.push_back("SIZE where it is not offered: " + line);
    announced_size_.reset();
    if (size != std::string::npos)
        announced_size_ = std::stoul(parameters.substr(size + 6));
    if (parameters.find(" SMTPUTF8") != std::string::npos && !offers_.smtputf8)
        protests_.push_back("SMTPUTF8 where it is not offered: " + line);
}

ModelServer::Answers ModelServer::answer_mail(const std::string& line)
{
    ++message_;
    if (sender_) {
        protests_.push_back("a second MAIL FROM within a transaction");
        return {Say{refusal(503, "sequence")}};
    }
    check_parameters(line);
    Reaction reaction = react(Stage::mail_from, ok());
    if (reaction.is_obeyed)
        sender_ = line.substr(11, line.find('>') - 11);
    return std::move(reaction.answers);
}

ModelServer::Answers ModelServer::answer_rcpt(const std::string& line)
{
    if (!sender_)
        return react(Stage::rcpt_to, refusal(503, "sequence")).answers;
    Reaction reaction = react(Stage::rcpt_to, ok());
    if (reaction.is_obeyed)
        recipients_.push_back(line.substr(9, line.find('>') - 9));
    return std::move(reaction.answers);
}

ModelServer::Answers ModelServer::answer_data()
{
    const bool has_recipients = !recipients_.empty();
    Reaction reaction = react(Stage::data, has_recipients ? "354 go\r\n" : refusal(503, "sequence"));
    in_content_ = has_recipients && reaction.is_obeyed;
    Answers answers = std::move(reaction.answers);
    const Answers late = std::exchange(late_, {});
    answers.insert(answers.end(), late.begin(), late.end());
    return answers;
}

ModelServer::Answers ModelServer::answer_content(const std::string& line)
{
    if (line == ".")
        return end_of_content();
    content_ += line.starts_with(".") ? line.substr(1) : line;
    content_ += "\r\n";
    return {};
}

ModelServer::Answers ModelServer::end_of_content()
{
    Reaction reaction = react(Stage::final_dot, ok("taken"));
    if (announced_size_ && *announced_size_ != content_.size())
        protests_.push_back("a content of another size than was announced");
    mails_.push_back(
        {*std::exchange(sender_, {}), std::exchange(recipients_, {}), std::exchange(content_, {}), reaction.code});
    in_content_ = false;
    if (order_ == Order::proper || mails_.size() > 1)
        return std::move(reaction.answers);
    late_ = std::move(reaction.answers);
    return {};
}

// ---- The replies ----------------------------------------------------------------------------------------------------

std::string ModelServer::ok(std::string_view text) const
{
    return std::string(offers_.enhanced_status_codes ? "250 2.0.0 " : "250 ") + std::string(text) + "\r\n";
}

std::string ModelServer::refusal(int code, std::string_view text) const
{
    const std::string number = std::to_string(code);
    const std::string status = offers_.enhanced_status_codes ? number.substr(0, 1) + ".0.0 " : "";
    return number + " " + status + std::string(text) + "\r\n";
}

ModelServer::Reaction ModelServer::react(Stage stage, const std::string& normal)
{
    const Place place{message_, stage, count_[{message_, stage}]++};
    places_.push_back(place);
    if (const auto fault = faults_.find(place); fault != faults_.end()) {
        ++faults_played_;
        return misbehave(fault->second, stage, normal);
    }
    const int code = normal.empty() ? 220 : std::stoi(normal); // TLS starts without a word
    return {{Say{normal}}, code < 400, code};
}

ModelServer::Reaction ModelServer::misbehave(Fault fault, Stage stage, const std::string& normal) const
{
    const int code = normal.empty() ? 0 : std::stoi(normal);
    const bool goes_on = code < 400;
    const std::string closing = refusal(421, "closing");
    switch (fault) {
    case Fault::close:
        return {{Close{}}};
    case Fault::reset:
        return {{Break{}}};
    case Fault::half_a_reply:
        return {{Say{normal.substr(0, 2)}, Close{}}};
    case Fault::closing:
        return {{Say{closing}, AwaitEnd{}}, false, 421};
    case Fault::closing_at_once:
        return {{Say{normal + closing}, AwaitEnd{}}, goes_on, code};
    case Fault::silence:
        return {{AwaitEnd{}}};
    case Fault::garbage:
        return {{Say{"what was that?\r\n"}, AwaitEnd{}}};
    case Fault::refused_for_now:
        return {{Say{refusal(450, "later")}}, false, 450};
    case Fault::refused_for_good:
        return {{Say{refusal(550, "never")}}, false, 550};
    case Fault::unknown_command:
        return {{Say{refusal(500, "what?")}}, false, 500};
    case Fault::out_of_sequence:
        return {{Say{refusal(503, "sequence")}}, false, 503};
    case Fault::out_of_place:
        return {{Say{code == 354 || stage == Stage::auth ? ok() : "354 go\r\n"}}, false, code == 354 ? 250 : 354};
    case Fault::twice:
        return {{Say{normal + normal}}, goes_on, code};
    }
    return {};
}

} // namespace mailroom::smtp
