#include "auth/throttle.hpp"

#include <algorithm>

namespace scistream::auth {

double Throttle::left(const State& state, Clock::time_point now) const {
  const std::chrono::duration<double> since = now - state.at;
  return std::min(limits_.burst, state.left + since.count() * limits_.per_second);
}

bool Throttle::allows(const std::string& name) const {
  const auto found = names_.find(name);
  return found == names_.end() || left(found->second, clock_.now()) >= 1;
}

void Throttle::count(const std::string& name) {
  const auto now = clock_.now();
  if (!names_.contains(name) && names_.size() >= limits_.most) make_room(now);
  const auto [entry, is_new] = names_.try_emplace(name, State{limits_.burst, now});
  entry->second = {std::max(0.0, left(entry->second, now) - 1), now};
}

void Throttle::give_back(const std::string& name) {
  const auto found = names_.find(name);
  if (found == names_.end()) return;
  const auto now = clock_.now();
  found->second = {std::min(limits_.burst, left(found->second, now) + 1), now};
}

void Throttle::make_room(Clock::time_point now) {
  std::erase_if(names_, [&](const auto& each) { return left(each.second, now) >= limits_.burst; });
  if (names_.size() < limits_.most) return;
  names_.erase(std::max_element(names_.begin(), names_.end(), [&](const auto& a, const auto& b) {
    return left(a.second, now) < left(b.second, now);
  }));
}

}  // namespace scistream::auth
