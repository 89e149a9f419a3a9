#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/scheduler.hpp"

namespace scistream {

/// A scheduler whose time stands still until a test moves it. Everything runs inside `run` and
/// `advance`, on the test's thread.
class ManualScheduler final : public Scheduler {
 public:
  [[nodiscard]] time_point now() const override { return now_; }

  void post(std::function<void()> work) override { ready_.push_back(std::move(work)); }

  [[nodiscard]] Timer after(duration delay, std::function<void()> work) override {
    auto due = std::make_shared<Due>(std::move(work));
    due_.emplace(now_ + delay, due);
    return Timer(std::move(due));
  }

  /// Runs what is posted until nothing is left.
  void run() {
    while (!ready_.empty()) {
      auto work = std::move(ready_.front());
      ready_.pop_front();
      work();
    }
  }

  /// Lets `step` pass, running what falls due at its exact time.
  void advance(duration step) {
    const time_point end = now_ + step;
    run();
    while (!due_.empty() && due_.begin()->first <= end) {
      now_ = due_.begin()->first;
      const auto due = due_.begin()->second;
      due_.erase(due_.begin());
      if (const auto work = std::exchange(due->work, nullptr)) work();
      run();
    }
    now_ = end;
  }

  /// Timers that can still fire.
  [[nodiscard]] std::size_t armed() const {
    std::size_t count = 0;
    for (const auto& [at, due] : due_) count += due->work ? 1U : 0U;
    return count;
  }

 private:
  struct Due final : Pending {
    explicit Due(std::function<void()> call) : work(std::move(call)) {}
    void cancel() noexcept override { work = nullptr; }
    std::function<void()> work;
  };

  time_point now_{};
  std::deque<std::function<void()>> ready_;
  std::multimap<time_point, std::shared_ptr<Due>> due_;
};

}  // namespace scistream
