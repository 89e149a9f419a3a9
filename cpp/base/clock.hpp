#pragma once

#include <chrono>

namespace scistream {

/// Where time comes from, so that a 180-second timeout is tested in no time.
/// Implementations may be called from any thread.
class Clock {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;

  virtual ~Clock() = default;
  /// Never goes back, unaffected by changes of the wall clock.
  [[nodiscard]] virtual time_point now() const = 0;
};

/// The machine's monotonic clock.
class SteadyClock final : public Clock {
 public:
  [[nodiscard]] time_point now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace scistream
