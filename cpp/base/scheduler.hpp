#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.hpp"

namespace scistream {

/// One thread's worth of work: what is posted runs one piece after another, what is due runs when
/// it is due. State machines live on a scheduler and need no locks of their own.
class Scheduler : public Clock {
 public:
  /// A call that is still due. Lives on the scheduler's thread.
  class Pending {
   public:
    virtual ~Pending() = default;
    virtual void cancel() noexcept = 0;
  };

  /// Owns a pending call and cancels it when destroyed or reset; does nothing once the call has
  /// started. Lives on the scheduler's thread.
  class Timer {
   public:
    Timer() = default;
    explicit Timer(std::shared_ptr<Pending> pending) : pending_(std::move(pending)) {}
    Timer(Timer&&) noexcept = default;
    Timer& operator=(Timer&& other) noexcept {
      cancel();
      pending_ = std::move(other.pending_);
      return *this;
    }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { cancel(); }

    void cancel() noexcept {
      if (pending_) pending_->cancel();
      pending_.reset();
    }

   private:
    std::shared_ptr<Pending> pending_;
  };

  /// Runs `work` on the scheduler's thread, in order of posting. Callable from any thread.
  virtual void post(std::function<void()> work) = 0;
  /// Runs `work` on the scheduler's thread after `delay`, unless the timer is cancelled first.
  /// To be called, and its timer destroyed, on the scheduler's thread.
  [[nodiscard]] virtual Timer after(duration delay, std::function<void()> work) = 0;
};

}  // namespace scistream
