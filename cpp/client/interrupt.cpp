#include "client/interrupt.hpp"

#include <utility>

namespace scistream::client {

void Interrupt::trigger() {
  const std::lock_guard lock(mutex_);
  triggered_ = true;
  if (end_) end_();
}

void Interrupt::set(std::function<void()> end) {
  const std::lock_guard lock(mutex_);
  end_ = std::move(end);
  if (triggered_) end_();
}

void Interrupt::clear() {
  const std::lock_guard lock(mutex_);
  end_ = nullptr;
}

bool Interrupt::is_triggered() {
  const std::lock_guard lock(mutex_);
  return triggered_;
}

}  // namespace scistream::client
