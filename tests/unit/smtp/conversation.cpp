#include "tests/unit/smtp/conversation.hpp"

#include <algorithm>

namespace mailroom::smtp {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// For a server that keeps silent. Who answers is not that slow; should a busy machine make it so, the verdicts are held
// against what the server knows all the same. The second for what is due in one go.
constexpr auto little_time = 8ms;
constexpr auto some_time = 40ms;

const Certificate& shared_certificate()
{
    static const Certificate certificate = make_certificate("127.0.0.1");
    return certificate;
}

std::string text_of(const std::string& name)
{
    return "Subject: " + name + "\r\n\r\n.a line with a dot\r\nend of " + name + "\r\n";
}

// As far as the peer heard it: dots are stuffed there.
bool was_written_to_its_dot(const std::string& heard, const std::string& content)
{
    const std::string end = content.substr(content.find("end of "));
    return heard.find(end + ".\r\n") != std::string::npos;
}

bool is_refused(const ModelServer::Mail& mail)
{
    return mail.answer >= 400;
}

} // namespace

void Conversation::converse(const Course& course, const Faults& faults, ModelServer::Order order)
{
    connection.reset();
    end_peer();
    refused.reset();
    connection_was_good = false;
    messages.clear();
    messages.push_back({envelope({"b@example.com"}), text_of("first"), {}});
    messages.push_back({envelope({"c@example.com", course.needs_smtputf8 ? "\xC3\xBC@example.com" : "d@example.com"}),
                        text_of("second"),
                        {}});
    messages.push_back({envelope({"e@example.com"}), text_of("third"), {}});
    options.timeouts = {};
    options.pipelining = course.pipelining;
    const bool is_behind = course.offers.pipelining && course.pipelining == Pipelining::next_message;
    for (const auto& [place, fault] : faults) {
        if (fault != Fault::silence)
            continue;
        if (is_behind && (place > Place{1, Stage::final_dot, 0} || order == ModelServer::Order::next_message_first))
            options.timeouts.behind_the_dot = some_time;
        if (place.message != 2 || place.stage == Stage::final_dot || !is_behind)
            give_little_time_at(place.stage);
    }
    server.security = course.offers.security;
    credentials = course.offers.mechanisms.empty() ? nullptr : &tim;
    if (!tls)
        trust(shared_certificate());
    model.emplace(course.offers, faults, order);
    start_peer({model->script()}, shared_certificate());
    run(do_open());
    if (!connection)
        return;
    submit_message(0);
    submit_message(1);
    connection_was_good = connection->reusable() && connection->is_alive();
    submit_message(2);
}

void Conversation::submit_message(std::size_t index)
{
    Sent& message = messages[index];
    Pieces content({message.content});
    to = message.to;
    following = nullptr;
    if (index == 0)
        following = [this] { return std::optional<Following>({messages[1].to, messages[1].content.size()}); };
    if (index == 2 && !connection_was_good && connection->reusable()) // as a service: not on a link that is closed
        return;
    run(do_submit(content));
    message.delivery = delivery;
}

void Conversation::give_little_time_at(Stage stage)
{
    Timeouts& t = options.timeouts;
    switch (stage) {
    case Stage::greeting:
        t.greeting = little_time;
        return;
    case Stage::ehlo:
    case Stage::starttls:
        t.ehlo = little_time;
        return;
    case Stage::tls:
        t.tls = little_time;
        return;
    case Stage::auth:
        t.auth = little_time;
        return;
    case Stage::mail_from:
        t.mail_from = little_time;
        return;
    case Stage::rcpt_to:
        t.rcpt_to = little_time;
        return;
    case Stage::data:
        t.data = little_time;
        return;
    case Stage::final_dot:
        t.final_dot = little_time;
        return;
    default:
        t.rset = little_time;
    }
}

// ---- What always holds ----------------------------------------------------------------------------------------------

void Conversation::expect_what_always_holds()
{
    EXPECT_THAT(model->protests(), IsEmpty());
    for (const ModelServer::Mail& mail : model->mails())
        expect_whole(mail);
    if (!connection) {
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->verdict, Verdict::try_again);
        EXPECT_THAT(peer->heard(), Not(HasSubstr("MAIL FROM")));
        return;
    }
    for (const Sent& message : messages) {
        if (message.delivery)
            expect_it_matches(message);
    }
    if (connection_was_good)
        EXPECT_EQ(outcome(3).verdict, Verdict::accepted) << "a connection that is out of step was used again";
    else
        EXPECT_THAT(peer->heard(), Not(HasSubstr("e@example.com")));
}

// No content under another envelope, and none that is cut off.
void Conversation::expect_whole(const ModelServer::Mail& mail)
{
    const auto message = std::ranges::find(messages, mail.content, &Sent::content);
    ASSERT_NE(message, messages.end()) << "nobody's content: " << mail.content;
    EXPECT_EQ(mail.sender, message->to.sender.str());
    for (const std::string& recipient : mail.recipients)
        EXPECT_TRUE(std::ranges::count(message->to.recipients, recipient, &MailAddress::str)) << recipient;
}

// The verdict, held against what the server knows.
void Conversation::expect_it_matches(const Sent& message)
{
    const Outcome& outcome = message.delivery->outcome;
    const auto mail = std::ranges::find(model->mails(), message.content, &ModelServer::Mail::content);
    const bool came = mail != model->mails().end();
    EXPECT_LE(std::ranges::count(model->mails(), message.content, &ModelServer::Mail::content), 1);
    if (outcome.verdict == Verdict::accepted) {
        ASSERT_TRUE(came) << "accepted, and the server never got it";
        EXPECT_EQ(mail->answer, 250);
        const auto& each = message.delivery->recipients;
        for (std::size_t i = 0; i < each.size(); ++i)
            EXPECT_EQ(each[i].verdict == Verdict::accepted,
                      std::ranges::count(mail->recipients, message.to.recipients[i].str()) == 1);
    } else if (outcome.verdict == Verdict::in_doubt) {
        EXPECT_TRUE(was_written_to_its_dot(peer->heard(), message.content)) << "a doubt for nothing";
    } else {
        EXPECT_TRUE(!came || is_refused(*mail)) << "not sent, says the client, and the server has it";
        EXPECT_TRUE(came || !was_written_to_its_dot(peer->heard(), message.content)) << "the server may have got it";
    }
}

} // namespace mailroom::smtp
