#include "client/event_queue.hpp"

#include <algorithm>
#include <utility>

namespace scistream::client {

namespace {

using Kind = session::SessionEvent::Kind;

constexpr std::size_t most_counters = 1024;

}  // namespace

void EventQueue::push(const session::SessionEvent& event) {
  const std::lock_guard lock(mutex_);
  // Counters are worth less than those that follow.
  if (event.kind == Kind::counters && counters_ >= most_counters) {
    events_.erase(std::find_if(events_.begin(), events_.end(),
                               [](const auto& each) { return each.kind == Kind::counters; }));
    --counters_;
  }
  if (event.kind == Kind::counters) ++counters_;
  events_.push_back(event);
  changed_.notify_all();
  if (came_) came_();
}

void EventQueue::end(Status how) {
  const std::lock_guard lock(mutex_);
  ended_ = std::move(how);
  changed_.notify_all();
  if (came_) came_();
}

bool EventQueue::wait_for(std::chrono::milliseconds limit) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, limit, [this] { return some(); });
}

void EventQueue::wait() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return some(); });
}

EventQueue::Taken EventQueue::take(std::size_t most) {
  const std::lock_guard lock(mutex_);
  Taken taken;
  while (!events_.empty() && taken.events.size() < most) {
    if (events_.front().kind == Kind::counters) --counters_;
    taken.events.push_back(std::move(events_.front()));
    events_.pop_front();
  }
  if (events_.empty()) taken.ended = ended_;
  return taken;
}

}  // namespace scistream::client
