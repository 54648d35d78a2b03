// What the log's thread does with finished lines: hands them on in batches, and where they cannot be written goes on
// without them: it says so on standard error once, and again in both places when they can.
#pragma once

#include "config/error.hpp"

#include "service/log/line.hpp"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <functional>
#include <string>

namespace mailroom::log {

using Form = std::string (*)(const Line&);

struct Output {
    std::function<Result<void>(std::string& lines)> write;
    Form form = as_text;
    std::size_t batch = 0;          // octets of lines written at once; 0: each by itself
    bool is_standard_error = false; // then there is no other place to tell that it is broken
};

// Used by one thread at a time.
class Sink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
    // others_wait: more lines are at hand; none: there never are, each is written at once.
    Sink(Output output, std::function<bool()> others_wait)
        : output_(std::move(output)), others_wait_(std::move(others_wait))
    {}

protected:
    void sink_it_(const spdlog::details::log_msg& message) override;
    void flush_() override;

private:
    bool is_last() const { return !others_wait_ || !others_wait_(); }
    void tell(LogLevel level, std::string_view id, const std::string& text);

    Output output_;
    std::function<bool()> others_wait_;
    std::string lines_; // not yet written
    std::uint64_t count_ = 0;
    std::uint64_t lost_ = 0; // since it could be written
};

} // namespace mailroom::log
