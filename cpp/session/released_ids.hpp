#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.hpp"

namespace scistream::session {

/// The ids released lately: a repeated `release` of one of them is a success, of any other unknown
/// id it is not. Forgets after 10 minutes, or past 10,000 ids the oldest first (PROTOCOL §7).
/// Lives on the control server's scheduler.
class ReleasedIds {
 public:
  static constexpr std::chrono::minutes memory{10};
  static constexpr std::size_t most = 10'000;

  explicit ReleasedIds(const Clock& clock) : clock_(clock) {}

  /// `ago`: how long before now it was released; later than what was added before.
  void add(const std::string& uid, const std::string& owner,
           Clock::duration ago = Clock::duration(0)) {
    forget();
    const auto until = clock_.now() + memory - ago;
    known_[uid] = {until, owner};
    order_.emplace_back(until, uid);
    while (order_.size() > most) drop_oldest();
  }

  /// Whose it was, if it was released lately.
  [[nodiscard]] std::optional<std::string> owner(const std::string& uid) {
    forget();
    const auto found = known_.find(uid);
    if (found == known_.end()) return std::nullopt;
    return found->second.owner;
  }

  [[nodiscard]] std::size_t size() const noexcept { return known_.size(); }

 private:
  void forget() {
    while (!order_.empty() && order_.front().first <= clock_.now()) drop_oldest();
  }

  void drop_oldest() {
    const auto [until, uid] = order_.front();
    order_.pop_front();
    // An id added again since has a later entry that keeps it.
    const auto found = known_.find(uid);
    if (found != known_.end() && found->second.until == until) known_.erase(found);
  }

  struct Known {
    Clock::time_point until;
    std::string owner;
  };

  const Clock& clock_;
  std::map<std::string, Known> known_;
  std::deque<std::pair<Clock::time_point, std::string>> order_;
};

}  // namespace scistream::session
