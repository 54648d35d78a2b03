// The service's settings file: any text is either settings within their limits or a list of problems, a line each.
#include "config/service_file.hpp"

#include "config/text.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string>

using namespace mailroom;
using namespace std::chrono_literals;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto file = parse_service_file(fuzz::text_of(data, size), "m.toml");
    if (!file) {
        require(!file.error().empty(), "a refusal names a problem");
        for (const std::string& problem : file.error()) {
            require(problem.starts_with("m.toml:"), "a problem names the file");
            require(!fuzz::has_line_end_or_nul(problem), "a problem is one line");
            require(is_utf8(problem), "a problem can be shown");
        }
        return 0;
    }
    require(!trimmed(file->installation.name).empty() && !file->installation.domain.empty(),
            "what is required is there");
    require(!file->database.connection.empty(), "what is required is there");
    require(file->installation.domain.find_first_of("@<> \r\n") == std::string::npos, "the domain fits a Message-ID");
    require(file->dispatcher.connections >= 1 && file->dispatcher.connections <= 512, "connections have a limit");
    require(file->dispatcher.lease >= 1s && file->dispatcher.lease <= 1h, "the lease has limits");
    require(file->dispatcher.poll >= 50ms && file->dispatcher.stop_limit >= 1s, "the times have limits");
    require(file->smtp.connect >= 100ms && file->smtp.reply >= 100ms && file->smtp.idle >= 0ms,
            "the times have limits");
    require(file->retry.max_attempts >= 1 && file->retry.max_attempts <= 1000, "attempts have a limit");
    return 0;
}
