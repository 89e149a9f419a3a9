#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "base/error.hpp"
#include "session/types.hpp"

namespace scistream::client {

/// The events of a watch on their way from the client's thread to one that may take its time. Who
/// takes nothing loses the oldest counters, of which the latest tell all, and never states. Any
/// thread.
class EventQueue {
 public:
  /// `came` is called, on the thread that brought it, when there is something to take; it must not
  /// block, nor call this.
  explicit EventQueue(std::function<void()> came = {}) : came_(std::move(came)) {}

  void push(const session::SessionEvent& event);
  /// The last thing that comes: how the watch has ended.
  void end(Status how);

  /// Whether there is something to take, or it has ended, within `limit`.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds limit) const;
  /// As `wait_for`, as long as it takes.
  void wait() const;

  struct Taken {
    std::deque<session::SessionEvent> events;
    std::optional<Status> ended;  ///< How, if it has, and no event is left.
  };
  /// Of what has come, oldest first, `most`; without waiting.
  [[nodiscard]] Taken take(std::size_t most = static_cast<std::size_t>(-1));

 private:
  [[nodiscard]] bool some() const { return !events_.empty() || ended_; }

  const std::function<void()> came_;
  mutable std::mutex mutex_;  ///< Of those below.
  mutable std::condition_variable changed_;
  std::deque<session::SessionEvent> events_;
  std::size_t counters_ = 0;  ///< Among them.
  std::optional<Status> ended_;
};

}  // namespace scistream::client
