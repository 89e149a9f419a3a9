#pragma once

#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "session/manager.hpp"

namespace scistream::session {

/// One watcher of some sessions. Owned by whoever watches; lives on the Manager's scheduler.
class Manager::Observer {
 public:
  Observer(std::vector<std::string> uids, std::chrono::milliseconds period, Principal by,
           Observe observe)
      : uids_(std::make_move_iterator(uids.begin()), std::make_move_iterator(uids.end())),
        period_(period),
        by_(std::move(by)),
        observe_(std::move(observe)) {}

  /// Whether it asked for that session, and may see it.
  [[nodiscard]] bool wants(const Request& request) const {
    return uids_.contains(request.key.uid) && by_.may_see(request.owner);
  }

  void tell(const SessionEvent& event, Clock::time_point now) {
    if (event.kind == SessionEvent::Kind::counters) {
      auto& next = next_counters_[event.session.key];
      if (now < next) return;
      next = now + period_;
    } else if (event.kind == SessionEvent::Kind::gone) {
      next_counters_.erase(event.session.key);
    }
    observe_(event);
  }

 private:
  std::set<std::string> uids_;
  std::chrono::milliseconds period_;
  Principal by_;
  Observe observe_;
  std::map<SessionKey, Clock::time_point> next_counters_;
};

}  // namespace scistream::session
