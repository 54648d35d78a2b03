// The log's file: whole lines are appended, and at its largest size the next file begins (FILE, FILE.1 .. FILE.5, the
// oldest goes). Not synced, not shared: each daemon has its own.
#pragma once

#include "config/error.hpp"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace mailroom::log {

class File {
public:
    // max_size: octets; 0: one file without end, for something else to rotate. keep: files besides the present one.
    // A new file is readable by its owner and group alone: addresses stand in it.
    static Result<File> open(std::string path, std::uint64_t max_size, int keep);

    // What was not written is lost. The next time begins on a line of its own.
    Result<void> write(std::string_view lines);
    void let_go() { file_.reset(); } // until the next line: whoever else writes there may rename it before

private:
    struct Close {
        // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): what a deleter is for
        void operator()(std::FILE* file) const { static_cast<void>(std::fclose(file)); }
    };

    File(std::string path, std::uint64_t max_size, int keep) : path_(std::move(path)), max_size_(max_size), keep_(keep)
    {}
    Result<void> open();
    void rotate();
    Error failed() const; // by errno

    std::string path_;
    std::uint64_t max_size_;
    int keep_;
    std::unique_ptr<std::FILE, Close> file_;
    std::uint64_t size_ = 0;
    bool torn_ = false; // it ends within a line
};

} // namespace mailroom::log
