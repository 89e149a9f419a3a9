#include "sdk/watching.hpp"

#include <utility>

#include "net/signals_blocked.hpp"
#include "sdk/guarded.hpp"
#include "sdk/values.hpp"

namespace scistream::sdk {

namespace {

/// Who takes nothing loses counters, of which the latest tells all, and never states.
constexpr std::size_t most_waiting = 1024;

}  // namespace

Watching::Watching(std::shared_ptr<client::UserClient> client, std::string uid,
                   std::vector<Endpoint> servers, std::chrono::milliseconds period)
    : client_(std::move(client)) {
  const net::SignalsBlocked blocked;  // signals belong to the program's own threads
  thread_ = std::thread([this, uid = std::move(uid), servers = std::move(servers), period] {
    const auto observe = [this](const session::SessionEvent& event) { push(event); };
    auto how = guarded(
        [&] { return client_->watch(uid, servers, period, observe, nullptr, &interrupt_); });
    const std::lock_guard lock(mutex_);
    ended_ = std::move(how);
    changed_.notify_all();
  });
}

Watching::~Watching() {
  interrupt_.trigger();
  thread_.join();
}

void Watching::push(const session::SessionEvent& event) {
  const std::lock_guard lock(mutex_);
  const bool may_go = event.kind == session::SessionEvent::Kind::counters;
  if (may_go && events_.size() >= most_waiting) return;
  events_.push_back(event);
  changed_.notify_all();
}

Watching::Events Watching::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !events_.empty() || ended_; });
  return std::exchange(events_, {});
}

Status Watching::tell(const std::function<void(const SessionEvent&)>& observe,
                      const std::stop_token& stop) {
  const std::stop_callback on_stop(stop, [this] { interrupt_.trigger(); });
  for (Events events = take(); !events.empty(); events = take()) {
    for (const auto& event : events) {
      if (stop.stop_requested()) return {};
      observe(to_public(event));
    }
  }
  const std::lock_guard lock(mutex_);
  if (stop.stop_requested() && !*ended_ && ended_->error().cause == Cause::cancelled) return {};
  return *ended_;
}

}  // namespace scistream::sdk
