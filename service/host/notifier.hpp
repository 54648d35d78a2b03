// Tells whoever started the service how it is doing: systemd in the way of sd_notify(3) (notifier_systemd.cpp),
// elsewhere whatever that platform has. Where nobody listens nothing happens. No call ever fails, and none waits for
// somebody who does not get round to listening: the thread that carries the mail makes them.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace mailroom::host {

class Notifier {
public:
    void status(std::string_view text);             // one line, for people; told when it is another than before
    void ready();                                   // it serves, or waits for its database
    void reloading();                               // it reads its settings again: ready() ends that
    void stopping(std::chrono::milliseconds limit); // it ends within this time
    void watchdog();                                // it gets on

    // None: nobody watches. Otherwise watchdog() must come at least so often, or the service is killed and started
    // anew.
    static std::optional<std::chrono::microseconds> watchdog_limit();

private:
    void tell(std::string state);
    bool is_heard(); // all that was told before

    std::string status_;
    std::deque<std::string> untold_; // what the listener had no room for, told before anything else
};

} // namespace mailroom::host
