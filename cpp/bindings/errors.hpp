#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"

namespace scistream::bindings {

/// Raises the exception of `scistream._errors` that belongs to the error's cause. `uid`: the
/// session it is about, if there is one. Needs the GIL, as does everything below.
[[noreturn]] void raise(const Error& error, const std::string& uid = {});

/// The exception that `raise` raises.
pybind11::object exception_for(const Error& error, const std::string& uid = {});

/// The error that belongs to an exception which Python code has raised: its cause if it is one of
/// `scistream._errors`, else `failure`, with the name of its type.
Error error_of(const pybind11::error_already_set& error);

/// The value, or its error as an exception.
template <class T>
T value_or_raise(Result<T> result, const std::string& uid = {}) {
  if (!result) raise(result.error(), uid);
  if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

/// `host:port`; InvalidRequest names the argument.
Endpoint endpoint_argument(std::string_view what, const std::string& text,
                           ZeroPort zero = ZeroPort::refused);
std::vector<Endpoint> endpoint_arguments(std::string_view what,
                                         const std::vector<std::string>& texts);

/// Seconds, not negative and at most 10 years.
std::chrono::milliseconds seconds_argument(std::string_view what, double seconds);

/// An application key: None is none, `bytes` are the key itself, a `str` has its 64 digits. The
/// error never repeats it.
Secret key_argument(std::string_view what, const pybind11::object& key);

}  // namespace scistream::bindings
