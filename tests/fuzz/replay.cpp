// Runs a fuzz target without libFuzzer: on every file of its corpus, then on mutations of them that are the same each
// time. Usage: fuzz_TARGET CORPUS [MUTATIONS]. What breaks a property is left in ./crash-TARGET and named.
#include "tests/fuzz/fuzz.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

// What a sanitizer finds ends as an abort, so that the input is kept.
extern "C" const char* __asan_default_options() // NOLINT(bugprone-reserved-identifier)
{
    return "abort_on_error=1";
}
extern "C" const char* __ubsan_default_options() // NOLINT(bugprone-reserved-identifier)
{
    return "abort_on_error=1:print_stacktrace=1";
}

namespace {

namespace fs = std::filesystem;
using Input = std::vector<std::uint8_t>;

constexpr std::size_t max_size = 16 * 1024; // octets of an input: more is slow and finds nothing new

std::string crash_file; // kept ready for keep_input, where nothing may be allocated
const Input* input_under_test = nullptr;

void keep_input()
{
    const int file = ::open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0 || input_under_test == nullptr)
        return;
    const auto written = ::write(file, input_under_test->data(), input_under_test->size());
    ::close(file);
    constexpr std::string_view text = "the input is kept in ./";
    const bool told = written >= 0 && ::write(STDERR_FILENO, text.data(), text.size()) > 0 &&
                      ::write(STDERR_FILENO, crash_file.data(), crash_file.size()) > 0 &&
                      ::write(STDERR_FILENO, "\n", 1) > 0;
    static_cast<void>(told);
}

void on_abort(int)
{
    keep_input();
    ::_exit(1);
}

std::vector<Input> corpus_of(const fs::path& folder)
{
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end()); // the same mutations whatever the order of the folder is
    std::vector<Input> corpus;
    for (const auto& file : files) {
        std::ifstream stream(file, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
    return corpus;
}

class Mutator {
public:
    explicit Mutator(const std::vector<Input>& corpus) : corpus_(corpus) {}

    Input next()
    {
        Input input = corpus_[below(corpus_.size())];
        for (std::size_t changes = 1 + below(4); changes > 0; --changes)
            change(input);
        if (input.size() > max_size)
            input.resize(max_size);
        return input;
    }

private:
    // Not std::uniform_int_distribution, which is not the same everywhere.
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

    void change(Input& input)
    {
        static constexpr std::array<std::string_view, 20> interesting{"\r\n",       "\n",
                                                                      "\r",         std::string_view("\0", 1),
                                                                      ".",          "\r\n.\r\n",
                                                                      "=?utf-8?q?", "?=",
                                                                      "\xC3\xA4",   "\xF0\x9F\x92\x8C",
                                                                      "\xFF",       "@",
                                                                      "\"",         "\\",
                                                                      "250-ok",     "250 ",
                                                                      ":",          "\t  ",
                                                                      "<",          "\xC2\x85"};
        const auto at = static_cast<std::ptrdiff_t>(below(input.size() + 1));
        const auto place = input.begin() + at;
        const auto left = static_cast<std::size_t>(input.end() - place);
        switch (below(6)) {
        case 0: // another octet
            if (left > 0)
                *place = static_cast<std::uint8_t>(below(256));
            break;
        case 1: // something that parsers look for
        {
            const std::string_view word = interesting[below(interesting.size())];
            input.insert(place, word.begin(), word.end());
            break;
        }
        case 2: // a piece less
            input.erase(place, place + static_cast<std::ptrdiff_t>(std::min(left, 1 + below(16))));
            break;
        case 3: // a piece many times
        {
            const Input piece(place, place + static_cast<std::ptrdiff_t>(std::min(left, 1 + below(40))));
            for (std::size_t times = below(below(8) == 0 ? 300 : 6); times > 0 && input.size() < max_size; --times)
                input.insert(input.begin() + at, piece.begin(), piece.end());
            break;
        }
        case 4: // the end of another
        {
            const Input& other = corpus_[below(corpus_.size())];
            input.erase(place, input.end());
            input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(below(other.size() + 1)),
                         other.end());
            break;
        }
        default: // another bit
            if (left > 0)
                *place = static_cast<std::uint8_t>(*place ^ 1U << below(8));
        }
    }

    const std::vector<Input>& corpus_;
    std::mt19937 random_; // always the same
};

void run(const Input& input)
{
    input_under_test = &input;
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

} // namespace

int main(int argc, char** argv)
{
    const std::vector<std::string> arguments(argv, argv + argc);
    if (arguments.size() < 2 || !fs::is_directory(arguments[1])) {
        std::cerr << "usage: " << arguments[0] << " CORPUS [MUTATIONS]\n";
        return 2;
    }
    crash_file = "crash-" + fs::path(arguments[0]).filename().string();
    struct sigaction action {};
    action.sa_handler = &on_abort;
    ::sigaction(SIGABRT, &action, nullptr);

    const std::vector<Input> corpus = corpus_of(arguments[1]);
    if (corpus.empty()) {
        std::cerr << "the corpus " << arguments[1] << " is empty\n";
        return 2;
    }
    for (const Input& input : corpus)
        run(input);
    run({});
    const unsigned long mutations = arguments.size() > 2 ? std::stoul(arguments[2]) : 10'000;
    Mutator mutator(corpus);
    for (unsigned long i = 0; i < mutations; ++i)
        run(mutator.next());
    std::cout << corpus.size() << " inputs and " << mutations << " mutations\n";
    return 0;
}
