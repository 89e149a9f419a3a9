#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace scistream::relay {

/// Which way a pump moves bytes.
enum class Direction { to_target, to_client };

constexpr Direction opposite(Direction direction) noexcept {
  return direction == Direction::to_client ? Direction::to_target : Direction::to_client;
}

/// Bytes each way and when something last happened. Written by the threads that move the bytes,
/// read by any: relaxed atomics, so a snapshot is exact per number, not across numbers.
class Traffic {
 public:
  void add(Direction direction, std::uint64_t bytes) noexcept {
    (direction == Direction::to_client ? to_client_ : to_target_)
        .fetch_add(bytes, std::memory_order_relaxed);
    touch();
  }
  void touch() noexcept { last_.store(ticks(), std::memory_order_relaxed); }

  [[nodiscard]] std::uint64_t to_client() const noexcept {
    return to_client_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t to_target() const noexcept {
    return to_target_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::chrono::milliseconds idle() const noexcept {
    const clock::duration since(ticks() - last_.load(std::memory_order_relaxed));
    return std::chrono::duration_cast<std::chrono::milliseconds>(since);
  }

 private:
  using clock = std::chrono::steady_clock;
  static clock::rep ticks() noexcept { return clock::now().time_since_epoch().count(); }

  std::atomic<std::uint64_t> to_client_{0};
  std::atomic<std::uint64_t> to_target_{0};
  std::atomic<clock::rep> last_{ticks()};
};

/// What one relay did since it was made. Same rules as Traffic.
struct Counters {
  Traffic traffic;
  std::atomic<std::uint64_t> active{0};
  std::atomic<std::uint64_t> total{0};
  std::atomic<std::uint64_t> errors{0};
  std::atomic<std::uint64_t> refused{0};
};

}  // namespace scistream::relay
