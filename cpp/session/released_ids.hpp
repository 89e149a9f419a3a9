#pragma once

#include <deque>
#include <map>
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
  void add(const std::string& uid, Clock::duration ago = Clock::duration(0)) {
    forget();
    const auto until = clock_.now() + memory - ago;
    until_[uid] = until;
    order_.emplace_back(until, uid);
    while (order_.size() > most) drop_oldest();
  }

  [[nodiscard]] bool contains(const std::string& uid) {
    forget();
    return until_.contains(uid);
  }

  [[nodiscard]] std::size_t size() const noexcept { return until_.size(); }

 private:
  void forget() {
    while (!order_.empty() && order_.front().first <= clock_.now()) drop_oldest();
  }

  void drop_oldest() {
    const auto [until, uid] = order_.front();
    order_.pop_front();
    // An id added again since has a later entry that keeps it.
    const auto found = until_.find(uid);
    if (found != until_.end() && found->second == until) until_.erase(found);
  }

  const Clock& clock_;
  std::map<std::string, Clock::time_point> until_;
  std::deque<std::pair<Clock::time_point, std::string>> order_;
};

}  // namespace scistream::session
