//===- Result.h - a value or an error ---------------------------*- C++ -*-===//
//
// The one way in which attune's libraries report failure. No exception leaves a library.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_COMPILER_SUPPORT_RESULT_H
#define ATTUNE_COMPILER_SUPPORT_RESULT_H

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace attune {

/// What kind of failure an error is; the command line maps it to its exit status.
enum class ErrorKind {
  Verification, ///< the result is wrong (exit status 1)
  BadInput,     ///< bad usage, a bad spec, array or PTX file (exit status 2)
  Missing,      ///< something needed is not here: a tool, a driver, a device (exit status 3)
};

/// One failure. `message` is complete: location, expected, got, and a way out where there is one.
struct Error {
  ErrorKind kind = ErrorKind::BadInput;
  std::string message;
};

inline Error badInput(std::string message) { return {ErrorKind::BadInput, std::move(message)}; }
inline Error missing(std::string message) { return {ErrorKind::Missing, std::move(message)}; }

/// A `T`, or the error that prevented it.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : state(std::move(value)) {}
  Result(Error error) : state(std::move(error)) {}

  explicit operator bool() const { return std::holds_alternative<T>(state); }
  T &operator*() { return std::get<T>(state); }
  const T &operator*() const { return std::get<T>(state); }
  T *operator->() { return &std::get<T>(state); }
  const T *operator->() const { return &std::get<T>(state); }
  Error &error() { return std::get<Error>(state); }
  const Error &error() const { return std::get<Error>(state); }

private:
  std::variant<T, Error> state;
};

/// Success, or an error.
using Status = Result<std::monostate>;
inline Status success() { return std::monostate{}; }

} // namespace attune

#endif // ATTUNE_COMPILER_SUPPORT_RESULT_H
