#include "service/host/prompt.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <termios.h>
#include <unistd.h>

namespace mailroom::host {
namespace {

// Turns the terminal's echo off as long as it lives.
class SilentTerminal {
public:
    SilentTerminal()
    {
        ::tcgetattr(STDIN_FILENO, &before_);
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    ~SilentTerminal()
    {
        ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
        fmt::print(stderr, "\n");
    }
    SilentTerminal(const SilentTerminal&) = delete;
    SilentTerminal& operator=(const SilentTerminal&) = delete;

private:
    termios before_{};
};

Result<Secret> read_line()
{
    std::string line;
    for (char c = 0; ::read(STDIN_FILENO, &c, 1) == 1 && c != '\n';) {
        line += c;
        if (line.size() > max_password) {
            wipe(line);
            return Error{"the password is longer than 1024 octets"};
        }
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

Result<Secret> ask(const std::string& prompt)
{
    fmt::print(stderr, "{}", prompt);
    const SilentTerminal silent;
    return read_line();
}

} // namespace

Result<Secret> read_new_password(const std::string& prompt, const std::string& again)
{
    if (::isatty(STDIN_FILENO) == 0)
        return read_line();
    auto first = ask(prompt);
    if (!first)
        return first;
    auto second = ask(again);
    if (!second)
        return second;
    if (first->reveal() != second->reveal())
        return Error{"the two passwords differ: nothing was stored"};
    return first;
}

} // namespace mailroom::host
