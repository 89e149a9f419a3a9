#include "bindings/errors.hpp"

#include <array>
#include <cmath>
#include <cstdio>

namespace py = pybind11;

namespace scistream::bindings {

namespace {

constexpr double longest_seconds = 10 * 366 * 86'400.0;

constexpr std::array causes{Cause::failure,         Cause::invalid_argument,
                            Cause::unauthenticated, Cause::permission_denied,
                            Cause::unavailable,     Cause::timeout,
                            Cause::not_found,       Cause::already_exists,
                            Cause::exhausted,       Cause::failed_precondition,
                            Cause::cancelled};

/// The one place where causes become exceptions.
const char* exception_of(Cause cause) noexcept {
  switch (cause) {
    case Cause::failure: return "ScistreamError";
    case Cause::invalid_argument: return "InvalidRequest";
    case Cause::unauthenticated: return "AuthError";
    case Cause::permission_denied: return "PermissionDenied";
    case Cause::unavailable: return "Unavailable";
    case Cause::timeout: return "Timeout";
    case Cause::not_found: return "NotFound";
    case Cause::already_exists: return "AlreadyExists";
    case Cause::exhausted: return "Exhausted";
    case Cause::failed_precondition: return "InvalidState";
    case Cause::cancelled: return "Cancelled";
  }
  return "ScistreamError";
}

[[noreturn]] void invalid(std::string_view what, const std::string& why) {
  raise({Cause::invalid_argument, std::string(what) + ": " + why});
}

}  // namespace

py::object exception_for(const Error& error, const std::string& uid) {
  const py::object type = py::module_::import("scistream._errors").attr(exception_of(error.cause));
  // Messages may quote what a peer sent.
  const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
      error.message.data(), static_cast<py::ssize_t>(error.message.size()), "replace"));
  if (!text) throw py::error_already_set();
  const py::object id = uid.empty() ? py::object(py::none()) : py::object(py::str(uid));
  return type(text, py::arg("uid") = id);
}

void raise(const Error& error, const std::string& uid) {
  const py::object exception = exception_for(error, uid);
  PyErr_SetObject(py::type::of(exception).ptr(), exception.ptr());
  throw py::error_already_set();
}

Error error_of(const py::error_already_set& error) {
  const auto text_of = [](const py::handle& object) {
    try {
      return py::str(object).cast<std::string>();
    } catch (const std::exception&) {  // an exception may fail at saying what it is
      return std::string("?");
    }
  };
  const std::string text = text_of(error.value());
  const py::object base = py::module_::import("scistream._errors").attr("ScistreamError");
  if (!error.matches(base)) {
    const std::string type = text_of(error.type().attr("__name__"));
    return {Cause::failure, text.empty() ? type : type + ": " + text};
  }
  const std::string code = text_of(error.value().attr("code"));
  for (const Cause cause : causes)
    if (to_string(cause) == code) return {cause, text};
  return {Cause::failure, text};
}

Endpoint endpoint_argument(std::string_view what, const std::string& text, ZeroPort zero) {
  auto endpoint = parse_endpoint(text, zero);
  if (!endpoint) invalid(what, endpoint.error().message);
  return std::move(*endpoint);
}

std::vector<Endpoint> endpoint_arguments(std::string_view what,
                                         const std::vector<std::string>& texts) {
  std::vector<Endpoint> endpoints;
  endpoints.reserve(texts.size());
  for (const std::string& text : texts) endpoints.push_back(endpoint_argument(what, text));
  return endpoints;
}

std::chrono::milliseconds seconds_argument(std::string_view what, double seconds) {
  if (!(seconds >= 0 && seconds <= longest_seconds)) {
    std::array<char, 32> text{};
    (void)std::snprintf(text.data(), text.size(), "%g", seconds);
    invalid(what, std::string("it takes seconds, from 0 to 10 years, not ") + text.data());
  }
  return std::chrono::milliseconds(std::llround(std::ceil(seconds * 1e3)));
}

Secret key_argument(std::string_view what, const py::object& key) {
  if (key.is_none()) return {};
  if (py::isinstance<py::bytes>(key)) {
    const std::string_view bytes = py::reinterpret_borrow<py::bytes>(key);
    if (bytes.size() != key_size) {
      invalid(what, "a key has " + std::to_string(key_size) + " bytes, not " +
                        std::to_string(bytes.size()));
    }
    return Secret(bytes);
  }
  if (py::isinstance<py::str>(key)) {
    auto secret = Secret::from_hex(key.cast<std::string>(), key_size);
    if (!secret) invalid(what, secret.error().message);
    return std::move(*secret);
  }
  throw py::type_error(std::string(what) + ": a key is bytes, or a str of hexadecimal digits");
}

}  // namespace scistream::bindings
