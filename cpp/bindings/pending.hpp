#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bindings/calls.hpp"
#include "bindings/process.hpp"
#include "client/user_client.hpp"

namespace scistream::bindings {

/// A call under way, for an event loop to wait for instead of a thread. Any thread.
class Pending {
 public:
  /// `result` runs once the call has ended, with the GIL: its value, or its error raised.
  Pending(std::shared_ptr<Call> call, std::function<pybind11::object()> result,
          std::function<void()> cancel)
      : call_(std::move(call)), result_(std::move(result)), cancel_(std::move(cancel)) {}

  /// Readable once the call has ended. Belongs to this object.
  [[nodiscard]] int fileno() const {
    home_.check();
    return call_->descriptor();
  }
  [[nodiscard]] bool done() const {
    home_.check();
    return call_->wait_for(std::chrono::milliseconds(0));
  }
  /// InvalidState while the call is under way.
  [[nodiscard]] pybind11::object result() const {
    if (!done()) raise({Cause::failed_precondition, "the call is under way"});
    return result_();
  }
  /// The call ends soon, in the background; a call that cannot be cut short goes on to its end.
  void cancel() const {
    if (!home_.left() && cancel_) cancel_();
  }

 private:
  Home home_;
  std::shared_ptr<Call> call_;
  std::function<pybind11::object()> result_;
  std::function<void()> cancel_;
};

/// As `blocking`, without the wait. `convert` makes a Python object of the value; `work` takes the
/// Interrupt that cancels it.
template <class T, class Work, class Convert>
std::unique_ptr<Pending> begin(Calls& calls, Work work, Convert convert,
                               const std::string& uid = {}) {
  auto interrupt = std::make_shared<client::Interrupt>();
  auto result = std::make_shared<std::optional<Result<T>>>();
  const auto cut = [interrupt] { interrupt->trigger(); };
  auto call = start_or_raise(
      calls, [result, interrupt, work = std::move(work)] { result->emplace(work(*interrupt)); },
      cut);
  Call* const ended = call.get();
  auto value = [result, ended, convert = std::move(convert), uid]() -> pybind11::object {
    if (!*result) raise({Cause::failure, ended->exception()}, uid);
    if constexpr (std::is_void_v<T>) {
      value_or_raise<T>(**result, uid);
      return pybind11::none();
    } else {
      return convert(value_or_raise<T>(**result, uid));
    }
  };
  return std::make_unique<Pending>(std::move(call), std::move(value), cut);
}

/// The same of a call that has no value.
template <class Work>
std::unique_ptr<Pending> begin(Calls& calls, Work work, const std::string& uid = {}) {
  return begin<void>(calls, std::move(work), 0, uid);
}

}  // namespace scistream::bindings
