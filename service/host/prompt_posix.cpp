#include "service/host/prompt.hpp"

#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

namespace mailroom::host {
namespace {

volatile std::sig_atomic_t interrupted = 0; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

// Turns the terminal's echo off as long as it lives, and sees to it that a signal does not leave it so. Signals come
// only while input is waited for: one that came just before would be waited out.
class SilentTerminal {
public:
    SilentTerminal()
    {
        struct sigaction note = {};
        note.sa_handler = [](int) { interrupted = 1; };
        sigset_t held;
        ::sigemptyset(&held);
        for (std::size_t i = 0; i < signals.size(); ++i) {
            ::sigaction(signals[i], &note, &handlers_[i]);
            ::sigaddset(&held, signals[i]);
        }
        ::sigprocmask(SIG_BLOCK, &held, &mask_before_);
        ::tcgetattr(STDIN_FILENO, &before_);
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    ~SilentTerminal()
    {
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
        ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
        for (std::size_t i = 0; i < signals.size(); ++i)
            ::sigaction(signals[i], &handlers_[i], nullptr);
        fmt::print(stderr, "\n");
    }
    const sigset_t& mask_before() const { return mask_before_; }
    SilentTerminal(const SilentTerminal&) = delete;
    SilentTerminal& operator=(const SilentTerminal&) = delete;

private:
    static constexpr std::array signals{SIGINT, SIGTERM, SIGHUP};

    std::array<struct sigaction, signals.size()> handlers_{};
    sigset_t mask_before_{};
    termios before_{};
};

// One octet, or none at the end of the input or when a signal came.
bool read_octet(char& c, const sigset_t* mask)
{
    pollfd input{STDIN_FILENO, POLLIN, 0};
    return ::ppoll(&input, 1, nullptr, mask) > 0 && ::read(STDIN_FILENO, &c, 1) == 1;
}

// mask: of signals, while it waits; null: as it is.
Result<Secret> read_line(const sigset_t* mask)
{
    std::string line;
    for (char c = 0; read_octet(c, mask) && c != '\n';) {
        line += c;
        if (line.size() > max_password) {
            wipe(line);
            return Error{"the password is longer than 1024 octets"};
        }
    }
    if (interrupted != 0) {
        wipe(line);
        return Error{"interrupted: nothing was stored"};
    }
    if (!line.empty() && line.back() == '\r')
        line.pop_back();
    if (line.empty())
        return Error{"the password is empty: nothing was stored"};
    if (line.find('\0') != std::string::npos) {
        wipe(line);
        return Error{"the password contains a NUL octet, which no server takes"};
    }
    Secret secret(line);
    wipe(line);
    return secret;
}

Result<Secret> ask_secret(const std::string& prompt)
{
    const SilentTerminal silent; // first: a person or a program may answer the prompt at once
    fmt::print(stderr, "{}", prompt);
    return read_line(&silent.mask_before());
}

} // namespace

Result<Secret> read_new_password(const std::string& prompt, const std::string& again)
{
    if (::isatty(STDIN_FILENO) == 0)
        return read_line(nullptr);
    auto first = ask_secret(prompt);
    if (!first)
        return first;
    auto second = ask_secret(again);
    if (!second)
        return second;
    if (first->reveal() != second->reveal())
        return Error{"the two passwords differ: nothing was stored"};
    return first;
}

Result<Secret> read_password(const std::string& prompt)
{
    return ::isatty(STDIN_FILENO) == 0 ? read_line(nullptr) : ask_secret(prompt);
}

Answer ask(const std::string& question)
{
    if (::isatty(STDIN_FILENO) == 0)
        return Answer::nobody_there;
    fmt::print(stderr, "{} [y/N] ", question);
    std::string line;
    for (char c = 0; ::read(STDIN_FILENO, &c, 1) == 1 && c != '\n' && line.size() < 100;)
        line += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return line == "y" || line == "yes" ? Answer::yes : Answer::no;
}

} // namespace mailroom::host
