#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <string>

#include "base/clock.hpp"

namespace scistream::auth {

/// Lets each name do something so often: `burst` times at once, then `per_second`. Forgets names
/// that have had rest; of more than `most` it forgets the one that has rested longest. On one
/// thread.
class Throttle {
 public:
  struct Limits {
    double burst;
    double per_second;
    std::size_t most = 10'000;
  };

  Throttle(const Clock& clock, Limits limits) : clock_(clock), limits_(limits) {}

  /// Whether it may be done now; nothing is counted.
  [[nodiscard]] bool allows(const std::string& name) const;
  /// It is done.
  void count(const std::string& name);
  /// What was counted was not what it was taken for.
  void give_back(const std::string& name);
  /// Both, if it is allowed.
  bool take(const std::string& name) {
    if (!allows(name)) return false;
    count(name);
    return true;
  }

  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }

 private:
  struct State {
    double left;
    Clock::time_point at;  ///< When so much was left.
  };
  [[nodiscard]] double left(const State& state, Clock::time_point now) const;
  void make_room(Clock::time_point now);

  const Clock& clock_;
  const Limits limits_;
  std::map<std::string, State> names_;
};

}  // namespace scistream::auth
