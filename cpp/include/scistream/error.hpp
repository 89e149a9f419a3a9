#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "scistream/export.hpp"

namespace scistream::inline v0 {

/// Why something failed. Every error of the house carries exactly one of these; gRPC statuses,
/// Python exceptions and process exit codes are each derived from it in one place.
enum class Cause {
  failure,              ///< It did not work and none of the causes below says why.
  invalid_argument,     ///< The caller's input is wrong; repeating it cannot help.
  unauthenticated,      ///< The caller, or the server, could not prove who it is.
  permission_denied,    ///< The caller is known and may not do this.
  unavailable,          ///< The other end cannot be reached or is going away; try again later.
  timeout,              ///< The time allowed ran out.
  not_found,            ///< No session, file or listener of that name.
  already_exists,       ///< The id is in use with other values.
  exhausted,            ///< Too few ports, too little bandwidth, too many waiting callers.
  failed_precondition,  ///< The state of the session does not allow this event.
  cancelled,            ///< The caller withdrew.
};

/// The stable, lower-case name of a cause, as it stands in `--json` documents and logs.
SCISTREAM_EXPORT std::string_view to_string(Cause cause) noexcept;

/// The process exit code of a cause: 0 is success, 1 `failure`, 2 `invalid_argument` (usage),
/// then one code a cause. docs/exit-codes.md lists them; scripts rely on the numbers.
SCISTREAM_EXPORT int exit_code(Cause cause) noexcept;

/// A cause and a sentence that names the offending value and, where there is one, the remedy.
/// Never holds a secret.
struct Error {
  Cause cause = Cause::failure;
  std::string message;
};

/// Either a `T` or an `Error`. Thread-compatible, like the `T` it holds.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an `Error`.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error)
      : failed_(true), error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  bool failed_ = false;
  Error error_;
};

using Status = Result<void>;

}  // namespace scistream::inline v0
