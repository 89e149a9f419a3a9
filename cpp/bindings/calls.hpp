#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "bindings/errors.hpp"
#include "net/fd.hpp"

namespace scistream::bindings {

/// A blocking C++ call on a thread of its own, which never runs Python. Any thread.
class Call {
 public:
  /// `interrupt` makes `work` return early; it may come before, while, or after that.
  Call(std::function<void()> work, std::function<void()> interrupt)
      : work_(std::move(work)), interrupt_(std::move(interrupt)) {}

  void run();
  void interrupt();
  void wait();
  /// False if it is still at work after `limit`.
  bool wait_for(std::chrono::milliseconds limit);
  /// Becomes readable at the end. Belongs to this object; made when it is asked for. Throws
  /// std::runtime_error if there is no descriptor left.
  int descriptor();
  /// What `work` threw, if it did. After the end.
  [[nodiscard]] const std::string& exception() const { return exception_; }

 private:
  std::function<void()> work_;
  const std::function<void()> interrupt_;
  std::string exception_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;
  net::Fd signal_;  ///< Once somebody has asked for it.
};

/// The calls that use one object. The object owns it as its last member: when it dies every call
/// has ended. Any thread; nothing here needs the GIL, nor may it be held while waiting.
class Calls {
 public:
  using Work = std::function<void()>;

  Calls() = default;
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;
  ~Calls();

  /// Null once closed.
  std::shared_ptr<Call> start(Work work, Work interrupt = {});
  /// Refuses further calls and interrupts those at work; what is returned runs `work` when they
  /// have ended. Safe to repeat, the first `work` counts.
  std::shared_ptr<Call> close(Work work, Work interrupt = {});

 private:
  struct Thread {
    std::shared_ptr<Call> call;
    std::thread thread;
  };
  std::shared_ptr<Call> launch(Work work, Work interrupt);

  std::mutex mutex_;
  std::list<Thread> threads_;
  std::shared_ptr<Call> last_;
};

/// Waits without the GIL, in slices between which Python handles signals, so that Ctrl-C raises
/// KeyboardInterrupt. False when `limit` has passed. Needs the GIL, like all below.
bool wait_with_signals(Call& call, std::optional<std::chrono::milliseconds> limit = std::nullopt);

/// Starts a call, or raises InvalidState if the object is closed.
std::shared_ptr<Call> start_or_raise(Calls& calls, Calls::Work work, Calls::Work interrupt = {});

/// What to do about a call that nobody waits for any more, because of Ctrl-C.
struct Leaving {
  Calls::Work interrupt;  ///< Makes it return early.
  Calls::Work undo;       ///< After it has ended: takes back what it did.
};

/// Interrupts the call and has it undone, in the background: waits a moment for that, not longer.
void leave(Calls& calls, const std::shared_ptr<Call>& call, const Calls::Work& undo);

/// `work` on a thread, its value here, its error raised. On Ctrl-C it is left to end by itself.
template <class T>
T blocking(Calls& calls, std::function<Result<T>()> work, Leaving leaving = {},
           const std::string& uid = {}) {
  auto result = std::make_shared<std::optional<Result<T>>>();
  const auto call = start_or_raise(
      calls, [result, work = std::move(work)] { result->emplace(work()); },
      std::move(leaving.interrupt));
  try {
    wait_with_signals(*call);
  } catch (const pybind11::error_already_set&) {
    leave(calls, call, leaving.undo);
    throw;
  }
  if (!*result) raise({Cause::failure, call->exception()}, uid);
  return value_or_raise<T>(std::move(**result), uid);
}

/// Closes `calls` and waits for `work`, which Ctrl-C leaves to end by itself, by `interrupt` soon.
void close_and_wait(Calls& calls, Calls::Work work, Calls::Work interrupt = {});

}  // namespace scistream::bindings
