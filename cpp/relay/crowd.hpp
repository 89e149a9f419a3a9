#pragma once

#include <sys/resource.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace scistream::relay {

/// The relays of one process, which share its descriptors: once few of these are left, a relay that
/// has more connections than relays have on average takes no more, so that no session, by a flood
/// or by targets that lead back to it, takes what the others need. Any thread.
class Crowd {
 public:
  /// Of descriptors, before it comes to that; the rest is for relays that have few.
  static constexpr double plenty = 7.0 / 8;

  Crowd() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
      few_from_ = static_cast<std::size_t>(plenty * static_cast<double>(limit.rlim_cur));
  }

  /// Whether a relay with so many connections takes one more, which has this descriptor: the kernel
  /// gives the lowest that is free, so that it tells how many are in use.
  [[nodiscard]] bool has_room(int descriptor, std::size_t own) const noexcept {
    if (descriptor < 0 || static_cast<std::size_t>(descriptor) < few_from_) return true;
    return own * relays_.load(std::memory_order_relaxed) <=
           connections_.load(std::memory_order_relaxed);
  }

  void relay_comes() noexcept { relays_.fetch_add(1, std::memory_order_relaxed); }
  void relay_goes() noexcept { relays_.fetch_sub(1, std::memory_order_relaxed); }
  void connection_comes() noexcept { connections_.fetch_add(1, std::memory_order_relaxed); }
  void connection_goes() noexcept { connections_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  std::size_t few_from_ = SIZE_MAX;
  std::atomic<std::size_t> relays_{0};
  std::atomic<std::size_t> connections_{0};
};

}  // namespace scistream::relay
