// What goes into a statement and what comes out: parameters, rows in libpq's binary format, and errors.
#pragma once

#include <boost/system/result.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct pg_result;

namespace mailroom::pg {

struct DbError {
    enum class Kind {
        unreachable, // no connection could be made
        lost,        // the connection broke: whether the statement worked is unknown
        timed_out,   // as lost
        stopped,     // the owner is stopping
        refused,     // the server answered with an error; sqlstate says which
    };
    Kind kind = Kind::lost;
    std::string text;     // what failed, on what
    std::string sqlstate; // five characters, with refused
    std::string detail;
    std::string hint;

    bool connection_is_gone() const { return kind != Kind::refused; }
};

std::string explain(const DbError& error); // text, detail and hint, a line each

template <class T>
using DbResult = boost::system::result<T, DbError>;

[[noreturn]] inline void throw_exception_from_error(const DbError& error, const boost::source_location&)
{
    throw std::runtime_error(explain(error));
}

// Parameters in order.
class Params {
public:
    Params& text(std::string_view value);         // without NUL; also what a statement casts: JSON, intervals, times
    Params& text_or_null(std::string_view value); // empty: NULL
    Params& number(std::int64_t value);
    Params& truth(bool value);
    Params& bytes(std::span<const std::uint8_t> value);
    Params& null();
    Params& numbers(std::span<const std::int64_t> values); // an array

    struct Value {
        std::string octets;
        bool is_null = false;
        bool is_binary = false;
    };
    const std::vector<Value>& values() const { return values_; }

private:
    std::vector<Value> values_;
};

using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;

// The rows of one statement. Views live as long as the result. A column of another type than asked for throws.
class Result {
public:
    explicit Result(pg_result* result);

    int rows() const;
    bool is_null(int row, int column) const;
    std::string_view text(int row, int column) const; // NULL: empty
    std::int64_t number(int row, int column) const;   // int2, int4, int8; NULL: 0
    bool truth(int row, int column) const;            // NULL: false
    Timestamp time(int row, int column) const;        // timestamptz
    std::optional<std::int64_t> optional_number(int row, int column) const;
    std::vector<std::uint8_t> bytes(int row, int column) const;

private:
    std::shared_ptr<pg_result> result_;
};

} // namespace mailroom::pg
