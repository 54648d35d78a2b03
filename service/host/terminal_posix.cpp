#include "service/host/terminal.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

namespace mailroom::host {
namespace {

constexpr std::array ending{SIGINT, SIGTERM, SIGHUP};
constexpr std::array watched{SIGINT, SIGTERM, SIGHUP, SIGWINCH};

volatile std::sig_atomic_t told_to_end = 0; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
volatile std::sig_atomic_t was_resized = 0; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

void note(int signal)
{
    if (std::ranges::find(ending, signal) != ending.end())
        told_to_end = 1;
    else
        was_resized = 1;
}

void write_all(std::string_view text)
{
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

bool is_control(char c)
{
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
}

bool continues_a_character(char c)
{
    return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

} // namespace

std::string cut(std::string_view line, std::size_t columns)
{
    std::string result;
    std::size_t used = 0;
    for (std::size_t at = 0; at < line.size(); ++at) {
        const char c = line[at];
        if (!continues_a_character(c) && ++used > columns)
            break;
        const bool c1 = c == '\xC2' && at + 1 < line.size() && static_cast<unsigned char>(line[at + 1]) < 0xA0; // C1
        if (c1)
            ++at;
        result += is_control(c) || c1 ? '?' : c;
    }
    return result;
}

bool Terminal::is_there()
{
    return ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
}

struct Terminal::Before {
    termios settings{};
    sigset_t mask{};
    std::array<struct sigaction, watched.size()> handlers{};
};

// Signals come only while it waits, so that none is missed between a look and a wait.
Terminal::Terminal() : before_(std::make_unique<Before>())
{
    struct sigaction action = {};
    action.sa_handler = note;
    sigset_t held;
    ::sigemptyset(&held);
    for (std::size_t i = 0; i < watched.size(); ++i) {
        ::sigaction(watched[i], &action, &before_->handlers[i]);
        ::sigaddset(&held, watched[i]);
    }
    ::sigprocmask(SIG_BLOCK, &held, &before_->mask);
    ::tcgetattr(STDIN_FILENO, &before_->settings);
    termios keys = before_->settings;
    keys.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON);
    keys.c_cc[VSUSP] = _POSIX_VDISABLE; // stopped, it would leave the terminal as it is
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &keys);
    write_all("\x1b[?1049h\x1b[?25l"); // the other screen, no cursor
}

Terminal::~Terminal()
{
    write_all("\x1b[?25h\x1b[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_->settings);
    ::sigprocmask(SIG_SETMASK, &before_->mask, nullptr);
    for (std::size_t i = 0; i < watched.size(); ++i)
        ::sigaction(watched[i], &before_->handlers[i], nullptr);
}

Terminal::Size Terminal::size()
{
    winsize found{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &found) != 0 || found.ws_col == 0 || found.ws_row == 0)
        return {};
    return {found.ws_col, found.ws_row};
}

void Terminal::draw(const std::vector<std::string>& lines)
{
    const Size size = Terminal::size();
    std::string page = "\x1b[H";
    const std::size_t rows = std::min(lines.size(), size.rows);
    for (std::size_t row = 0; row < rows; ++row) {
        const bool is_last = row + 1 == rows;
        page += cut(is_last ? lines.back() : lines[row], size.columns) + "\x1b[K" + (is_last ? "" : "\r\n");
    }
    write_all(page + "\x1b[J");
}

Terminal::Event Terminal::wait(std::chrono::steady_clock::time_point until)
{
    for (;;) {
        if (told_to_end != 0)
            return Event::quit;
        if (was_resized != 0) {
            was_resized = 0;
            return Event::resized;
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0)
            return Event::time_is_over;
        const timespec limit{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
        pollfd input{STDIN_FILENO, POLLIN, 0};
        if (::ppoll(&input, 1, &limit, &before_->mask) <= 0)
            continue;
        char key = 0;
        if (::read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
            return Event::quit; // also where the terminal is gone
    }
}

} // namespace mailroom::host
