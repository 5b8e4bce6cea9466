/// Errors: every wrong input gets a named exception that says what was got and what was expected.
///
/// Read first: nothing.   Read next: core/tensor.hpp.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fot {

/// Base of every exception that fot throws on purpose.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A tensor's shape is not the one that the function's docstring states.
struct ShapeError : Error {
    using Error::Error;
};

/// A hyper-parameter, option or context list makes no sense (alone or beside the others).
struct ConfigError : Error {
    using Error::Error;
};

/// Data is out of its range: a token outside the vocabulary, a document that is too short.
struct DataError : Error {
    using Error::Error;
};

/// A number that must be finite is not: the loss, a gradient norm, a score.
struct NumericError : Error {
    using Error::Error;
};

/// A file is missing, truncated, malformed or cannot be written.
struct FileError : Error {
    using Error::Error;
};

/// The arguments one after another as text: `message("got ", 3, ", expected ", 4)`.
template <class... Parts>
std::string message(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return text.str();
}

namespace detail {

/// Out of line and marked as never returning: the checked code stays small, and the compiler knows the condition holds after it.
template <class Kind, class... Parts>
[[noreturn, gnu::noinline, gnu::cold]] void fail(const Parts&... parts) {
    throw Kind(message(parts...));
}

}  // namespace detail

/// Throws `Kind(message(parts...))` unless `condition` holds. The message is only
/// put together when it is needed (its parts are evaluated at every call, so they should be cheap).
template <class Kind, class... Parts>
[[gnu::always_inline]] inline void require(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]]
        detail::fail<Kind>(parts...);
}

}  // namespace fot
