// Three messages over one session with a model server, and what must hold of any client whatever that server does.
#pragma once

#include "tests/unit/smtp/model_server.hpp"
#include "tests/unit/smtp/session.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace mailroom::smtp {

struct Course {
    std::string name;
    ModelServer::Offers offers;
    Pipelining pipelining = Pipelining::next_message;
    bool needs_smtputf8 = false; // the second message has a recipient that does
};

class Conversation : public Session {
protected:
    ~Conversation() override { end_peer(); } // while what it plays is there

    struct Sent {
        Envelope to;
        std::string content;
        std::optional<Delivery> delivery; // none: it was not tried
    };

    // The first two messages as a service sends them: the second begun behind the first where that may be. The third
    // if the connection claims to be good for it, and else only to see that nothing of it comes to the server.
    void converse(const Course& course, const Faults& faults, ModelServer::Order order = ModelServer::Order::proper);
    void expect_what_always_holds();

    const Outcome& outcome(std::size_t message) const { return messages[message - 1].delivery->outcome; }
    bool the_third_was_sent() const { return connection_was_good; }

    std::optional<ModelServer> model;
    std::vector<Sent> messages;

private:
    void submit_message(std::size_t index);
    void expect_it_matches(const Sent& message);
    void expect_whole(const ModelServer::Mail& mail);
    void give_little_time_at(Stage stage);

    bool connection_was_good = false;
};

} // namespace mailroom::smtp
