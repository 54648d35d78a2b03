// What a test mail went through, as it is shown and recorded. Pure.
#pragma once

#include "transport/trace.hpp"

#include <boost/json/object.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace mailroom::test_mail {

struct Report {
    struct Step {
        std::string name; // name resolution, TLS, MAIL FROM
        std::chrono::milliseconds took{};
        std::string words;
    };
    std::string place;
    std::string pressed_by;
    std::string note;
    std::string outcome; // accepted, refused, held, in_doubt
    bool counts = false;
    std::string table_row;
    std::string mode;
    std::string account, from, sender, envelope_sender; // empty where nobody was found who could send it
    std::string to;
    std::string server; // host:port
    std::string message_id;
    std::string failed_at; // the step's name; empty: none failed
    std::string words;     // the server's at the end, or the hold
    std::string what_to_do;
    std::vector<Step> steps;

    bool is_accepted() const { return outcome == "accepted"; }
};

std::string_view name_of(Stage stage); // for people: name resolution, TLS, MAIL FROM, end of data

// A step that did not end is the one that failed: it took until `end`, with `why` as its words.
std::vector<Report::Step> steps_of(const Trace& trace, std::string_view why, Trace::Clock::time_point end);

boost::json::object to_json(const Report& report);
std::string to_lines(const Report& report);

} // namespace mailroom::test_mail
