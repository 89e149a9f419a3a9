#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "relay/counters.hpp"

namespace scistream::relay {

inline constexpr std::uint64_t bits_per_megabit = 1'000'000;

/// How long who waits for its turn may not notice that the rate has changed.
inline constexpr std::chrono::milliseconds look_again{100};

/// A rate, as a schedule in virtual time (GCRA): who wants to send books its bytes and is told when
/// they may go. Bookings are served in their order, so those that keep booking pieces of one size
/// get the same share. Any thread; no locks.
class Schedule {
 public:
  using clock = std::chrono::steady_clock;

  /// What a piece may hold, in time at the rate,
  static constexpr std::chrono::milliseconds piece_time{2};
  /// and how much of the past who comes late may still use: a timer that fires late costs nothing.
  /// Together they bound what goes at once: 10 ms worth of the rate.
  static constexpr std::chrono::milliseconds credit{8};

  /// Payload bits a second; 0 is no limit. What was booked before takes as long as it would have
  /// taken at this rate.
  void set_rate(std::uint64_t bits_per_second) noexcept;
  [[nodiscard]] std::uint64_t rate() const noexcept {
    return rate_.load(std::memory_order_relaxed);
  }
  /// Bytes to book at a time, if `sharers` of one weight do so; SIZE_MAX without a limit.
  [[nodiscard]] std::size_t piece(std::size_t sharers = 1) const noexcept;
  /// When these bytes may go. In the past: at once.
  clock::time_point book(std::size_t bytes, clock::time_point now) noexcept;
  /// Takes from the schedule what goes without asking it. Where that is all there is, those who ask
  /// wait about a second for each piece.
  void charge(std::size_t bytes, clock::time_point now) noexcept;

 private:
  [[nodiscard]] std::chrono::nanoseconds duration(std::size_t bytes) const noexcept;

  std::atomic<std::uint64_t> rate_{0};
  std::atomic<clock::rep> booked_until_{0};
};

/// One direction of all connections of one session: its own rate, and what the facility has.
///
/// A session that has leased its rate never waits for the facility, and what it uses is taken from
/// what the others share. Any thread; no locks.
class Shaper {
 public:
  using clock = Schedule::clock;

  /// `facility` is shared by the sessions of a facility; may be null.
  explicit Shaper(std::shared_ptr<Schedule> facility) : facility_(std::move(facility)) {}

  /// 0 is no limit of its own, and never leased.
  void set_rate(std::uint64_t bits_per_second, bool leased) noexcept;

  /// False costs two loads, and is all that a session without limits pays.
  [[nodiscard]] bool limits() const noexcept { return own_.rate() != 0 || waits_for_facility(); }
  /// Bytes to book at a time.
  [[nodiscard]] std::size_t piece() const noexcept;
  /// Bytes that leave within about a tenth of a second; SIZE_MAX without a limit.
  [[nodiscard]] std::size_t room() const noexcept;
  /// When these bytes may go. In the past: at once.
  clock::time_point book(std::size_t bytes, clock::time_point now) noexcept;

  /// Grows with each set_rate(): who waits for its turn books anew then.
  [[nodiscard]] unsigned changes() const noexcept {
    return changes_.load(std::memory_order_relaxed);
  }

  /// Sessions share the facility alike, however many connections they have: who waits for its turn
  /// says so meanwhile.
  void begin_wait() noexcept { waiting_.fetch_add(1, std::memory_order_relaxed); }
  void end_wait() noexcept { waiting_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  [[nodiscard]] bool waits_for_facility() const noexcept {
    return facility_ && facility_->rate() != 0 && !leased_.load(std::memory_order_relaxed);
  }

  Schedule own_;
  const std::shared_ptr<Schedule> facility_;
  std::atomic<bool> leased_{false};
  std::atomic<unsigned> changes_{0};
  std::atomic<std::size_t> waiting_{0};
};

/// What a facility has for all its sessions, each way. May be empty.
struct SharedRates {
  std::shared_ptr<Schedule> to_client;
  std::shared_ptr<Schedule> to_target;
};

/// Both directions of a session.
class Shaping {
 public:
  explicit Shaping(const SharedRates& facility)
      : to_client_(facility.to_client), to_target_(facility.to_target) {}

  [[nodiscard]] Shaper& of(Direction direction) noexcept {
    return direction == Direction::to_client ? to_client_ : to_target_;
  }
  /// Each direction on its own has this rate.
  void set_rate(std::uint64_t bits_per_second, bool leased) noexcept {
    to_client_.set_rate(bits_per_second, leased);
    to_target_.set_rate(bits_per_second, leased);
  }

 private:
  Shaper to_client_;
  Shaper to_target_;
};

}  // namespace scistream::relay
