#pragma once

#include <chrono>

#include "base/clock.hpp"

namespace scistream {

/// Lets what would be said again and again be said once a minute. On one thread, or under a lock.
class Seldom {
 public:
  /// Whether it is time; then it is not for a while.
  bool may(Clock::time_point now) {
    if (now < next_) return false;
    next_ = now + pause;
    return true;
  }

 private:
  static constexpr std::chrono::minutes pause{1};
  Clock::time_point next_{};
};

}  // namespace scistream
