#pragma once

#include <functional>
#include <mutex>

namespace scistream::client {

/// A waiting call that another thread may interrupt. Used once.
class Interrupt {
 public:
  /// Ends what is registered, now or as soon as it is registered. Any thread.
  void trigger();
  /// `end` must be callable until `clear`.
  void set(std::function<void()> end);
  void clear();
  [[nodiscard]] bool is_triggered();

 private:
  std::mutex mutex_;
  bool triggered_ = false;
  std::function<void()> end_;
};

}  // namespace scistream::client
