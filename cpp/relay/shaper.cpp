#include "relay/shaper.hpp"

#include <algorithm>

namespace scistream::relay {

namespace {

using std::chrono::nanoseconds;

/// At the lowest rates a piece is what one packet carries, and at the highest what stays in the
/// cache.
constexpr std::size_t least_piece = 1448;
constexpr std::size_t largest_piece = 512U << 10U;
constexpr std::chrono::seconds longest_debt{1};

}  // namespace

std::size_t Schedule::piece(std::size_t sharers) const noexcept {
  const std::uint64_t rate = this->rate();
  if (rate == 0) return SIZE_MAX;
  const auto whole =
      static_cast<std::size_t>(rate / 8 * static_cast<std::uint64_t>(piece_time.count()) / 1'000);
  return std::max(std::min(whole, largest_piece) / std::max<std::size_t>(sharers, 1), least_piece);
}

nanoseconds Schedule::duration(std::size_t bytes) const noexcept {
  const auto rate = static_cast<double>(this->rate());
  return nanoseconds(rate > 0 ? static_cast<std::int64_t>(8e9 * static_cast<double>(bytes) / rate)
                              : 0);
}

Schedule::clock::time_point Schedule::book(std::size_t bytes, clock::time_point now) noexcept {
  const nanoseconds takes = duration(bytes);
  if (takes.count() == 0) return clock::time_point::min();
  const auto earliest = (now - credit).time_since_epoch().count();
  auto until = booked_until_.load(std::memory_order_relaxed);
  clock::rep start = 0;
  do {
    start = std::max(until, earliest);
  } while (!booked_until_.compare_exchange_weak(until, start + takes.count(),
                                                std::memory_order_relaxed));
  return clock::time_point(clock::duration(start));
}

void Schedule::charge(std::size_t bytes, clock::time_point now) noexcept {
  if (booked_until_.load(std::memory_order_relaxed) <
      (now + longest_debt).time_since_epoch().count())
    (void)book(bytes, now);
}

void Schedule::set_rate(std::uint64_t bits_per_second) noexcept {
  const std::uint64_t before = rate_.exchange(bits_per_second, std::memory_order_relaxed);
  if (before == bits_per_second) return;
  // What is booked at the old rate takes as long as it does at the new one.
  const auto now = clock::now().time_since_epoch().count();
  auto until = booked_until_.load(std::memory_order_relaxed);
  clock::rep anew = 0;
  do {
    const auto ahead = static_cast<double>(std::max<clock::rep>(until - now, 0));
    anew = bits_per_second == 0 || until <= now
               ? std::min(until, now)
               : now + static_cast<clock::rep>(ahead * static_cast<double>(before) /
                                               static_cast<double>(bits_per_second));
  } while (!booked_until_.compare_exchange_weak(until, anew, std::memory_order_relaxed));
}

void Shaper::set_rate(std::uint64_t bits_per_second, bool leased) noexcept {
  leased_.store(leased && bits_per_second != 0, std::memory_order_relaxed);
  own_.set_rate(bits_per_second);
  changes_.fetch_add(1, std::memory_order_relaxed);
}

std::size_t Shaper::piece() const noexcept {
  if (!waits_for_facility()) return own_.piece();
  return std::min(own_.piece(), facility_->piece(waiting_.load(std::memory_order_relaxed)));
}

std::size_t Shaper::room() const noexcept {
  constexpr std::size_t pieces = std::chrono::milliseconds(100) / Schedule::piece_time;
  return limits() ? piece() * pieces : SIZE_MAX;
}

Shaper::clock::time_point Shaper::book(std::size_t bytes, clock::time_point now) noexcept {
  const auto own = own_.book(bytes, now);
  if (!facility_) return own;
  if (!leased_.load(std::memory_order_relaxed)) return std::max(own, facility_->book(bytes, now));
  facility_->charge(bytes, now);
  return own;
}

}  // namespace scistream::relay
