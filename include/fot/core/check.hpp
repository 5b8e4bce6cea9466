/// Errors: every wrong input gets a named exception that says what was received and what was expected.
///
/// Checks are not assertions, so a release build makes them too, and a caller can tell the kinds of error apart.
///
/// Read first: nothing.   Read next: core/tensor.hpp.
#pragma once

#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace fot {

/// Base of every exception that fot throws on purpose.
struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A tensor's shape is not the one that the function's docstring states.
struct ShapeError : Error {
    using Error::Error;
};

/// A hyper-parameter, option or context list is outside of what is allowed, alone or beside the others.
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

/// A part of a message: text, a number or a letter. It refers to the text, which must live as long.
///
/// Whatever its parts are, a message is put together by one function. Were that a template of their types, every error of the
/// library would be compiled as a function of its own.
class MessagePart {
   public:
    MessagePart(std::string_view text) : what_(text) {}    ///< as it is
    MessagePart(const std::string& text) : what_(text) {}  ///< likewise
    MessagePart(const char* text) : what_(text) {}         ///< likewise
    MessagePart(char letter) : what_(letter) {}            ///< likewise
    /// Six significant digits of a fraction, all digits of an integer.
    template <class Number>
    requires std::is_arithmetic_v<Number> MessagePart(Number number) {
        if constexpr (std::is_floating_point_v<Number>)
            what_ = static_cast<double>(number);
        else if constexpr (std::is_signed_v<Number>)
            what_ = static_cast<long long>(number);
        else
            what_ = static_cast<unsigned long long>(number);
    }

   private:
    friend std::string message_of(std::initializer_list<MessagePart> parts);
    std::variant<std::string_view, char, double, long long, unsigned long long> what_;
};

/// The parts one after another.
inline std::string message_of(std::initializer_list<MessagePart> parts) {
    std::ostringstream text;
    text.exceptions(std::ios::badbit);  // a message that memory does not suffice for is not cut off in silence
    for (const MessagePart& part : parts) std::visit([&](const auto& what) { text << what; }, part.what_);
    return text.str();
}

/// The arguments one after another as text: `message("got ", 3, ", expected ", 4)`.
template <class... Parts>
std::string message(const Parts&... parts) {
    return message_of({parts...});
}

namespace detail {

/// Out of line and marked as never returning: the checked code stays small, and the compiler knows the condition holds after it.
template <class Kind>
[[noreturn, gnu::noinline, gnu::cold]] void fail(std::initializer_list<MessagePart> parts) {
    throw Kind(message_of(parts));
}

}  // namespace detail

/// Throws `Kind(message(parts...))` unless `condition` holds. The message is only
/// put together when it is needed (its parts are evaluated at every call, so they should be cheap).
template <class Kind, class... Parts>
[[gnu::always_inline]] inline void require(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]]
        detail::fail<Kind>({parts...});
}

}  // namespace fot
