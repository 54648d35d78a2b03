// A mail server that does as the RFCs say, but for faults at the replies that a test chooses. It knows what it took,
// which is what the client's verdicts are held against. A ScriptedPeer plays it.
#pragma once

#include "config/mail_settings.hpp"

#include "tests/support/scripted_peer.hpp"
#include "transport/outcome.hpp"

#include <compare>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mailroom::smtp {

enum class Fault {
    close,           // instead of the reply
    reset,           // as well, by RST
    half_a_reply,    // then closes
    closing,         // 421, then closes
    closing_at_once, // the reply as it should be, and a 421 behind it
    silence,
    garbage,
    refused_for_now,
    refused_for_good,
    unknown_command, // 500
    out_of_sequence, // 503
    out_of_place,    // 354 for 250, 250 for 354
    twice
};
std::string_view name_of(Fault fault);

// Of a reply: the first to the second RCPT TO of the third message is {3, Stage::rcpt_to, 1}.
struct Place {
    int message = 0; // counted by MAIL FROM; 0: before the first
    Stage stage = Stage::greeting;
    int number = 0; // among those of the same message and stage
    auto operator<=>(const Place&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Place& place);
using Faults = std::map<Place, Fault>;

class ModelServer {
public:
    struct Offers {
        Security security = Security::none;
        bool ehlo = true;            // else HELO alone is known
        std::string mechanisms = {}; // of AUTH; empty: none
        bool takes_plain = true;     // or says 504 to it, though it is offered
        bool pipelining = false;
        bool size = false;
        bool smtputf8 = false;
        bool enhanced_status_codes = false;
    };
    // Whether it answers what came behind the final dot of the first message before that dot.
    enum class Order { proper, next_message_first };

    ModelServer(Offers offers, Faults faults, Order order = Order::proper);
    ModelServer(const ModelServer&) = delete; // its script refers to it
    ModelServer& operator=(const ModelServer&) = delete;

    test::Script script();

    struct Mail { // that came to its final dot
        std::string sender;
        std::vector<std::string> recipients; // that were accepted
        std::string content;                 // without dot-stuffing
        int answer = 0;                      // that it gave; 0: none
    };
    const std::vector<Mail>& mails() const { return mails_; }
    const std::vector<Place>& places() const { return places_; } // of its replies so far
    std::size_t faults_played() const { return faults_played_; }
    const std::vector<std::string>& protests() const { return protests_; } // what no client may do

private:
    struct Reaction {
        std::vector<test::Answer> answers;
        bool is_obeyed = true;
        int code = 0; // that the client can have read as the answer
    };
    using Answers = std::vector<test::Answer>;

    Answers answer(const std::string& line);
    Answers answer_ehlo(const std::string& line);
    Answers answer_starttls();
    Answers answer_auth(const std::string& line);
    Answers answer_login(const std::string& line);
    Answers answer_mail(const std::string& line);
    Answers answer_rcpt(const std::string& line);
    Answers answer_data();
    Answers answer_content(const std::string& line);
    Answers end_of_content();
    Answers start_tls();
    Reaction react(Stage stage, const std::string& normal);
    Reaction misbehave(Fault fault, Stage stage, const std::string& normal) const;
    std::string ok(std::string_view text = "ok") const;
    std::string refusal(int code, std::string_view text) const;
    std::string ehlo_reply() const;
    void check_parameters(const std::string& line);

    Offers offers_;
    Faults faults_;
    Order order_;
    Answers late_; // answers to the final dot of the first message

    bool tls_ = false;
    bool in_login_ = false;
    int login_lines_ = 0;
    bool in_content_ = false;
    int message_ = 0;
    std::optional<std::string> sender_;
    std::optional<std::size_t> announced_size_;
    std::vector<std::string> recipients_;
    std::string content_;

    std::vector<Mail> mails_;
    std::vector<Place> places_;
    std::map<std::pair<int, Stage>, int> count_;
    std::size_t faults_played_ = 0;
    std::vector<std::string> protests_;
};

} // namespace mailroom::smtp
