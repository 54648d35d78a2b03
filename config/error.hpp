// What went wrong in words: what failed, on what, and what to do about it. The error type of every
// expected failure that a person reads; failures that code must tell apart have types of their own.
#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>

#include <stdexcept>
#include <string>
#include <utility>

namespace mailroom {

struct Error {
    std::string text;
};

template <class T>
using Result = boost::system::result<T, Error>;

// What `Result::value()` throws when there is none: a broken world, caught in main or around one dispatch.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&)
{
    throw std::runtime_error(error.text);
}

} // namespace mailroom
