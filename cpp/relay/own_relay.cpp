#include "relay/own_relay.hpp"

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

namespace scistream::relay {

Result<std::unique_ptr<OwnRelay>> OwnRelay::open(const std::vector<Pair>& pairs,
                                                 std::size_t threads, Logger log) {
  if (pairs.empty()) return Error{Cause::invalid_argument, "a relay needs a listener and a target"};
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  auto own_threads = std::make_unique<net::IoThreads>(threads == 0 ? cores : threads);
  auto relay = Relay::open(*own_threads, pairs, {}, std::move(log));
  if (!relay) return relay.error();
  return std::unique_ptr<OwnRelay>(new OwnRelay(std::move(own_threads), std::move(*relay)));
}

OwnRelay::OwnRelay(std::unique_ptr<net::IoThreads> threads, std::unique_ptr<Relay> relay)
    : threads_(std::move(threads)), relay_(std::move(relay)), listeners_(relay_->listeners()) {}

OwnRelay::~OwnRelay() { close(std::chrono::milliseconds(0)); }

Snapshot OwnRelay::snapshot() const {
  const std::lock_guard lock(mutex_);
  return relay_ ? relay_->snapshot() : last_;
}

void OwnRelay::close(std::chrono::milliseconds drain) {
  if (drain.count() <= 0) hurry();
  const std::lock_guard turn(turn_mutex_);
  if (!relay_) return;
  if (drain.count() > 0 && drained(drain)) return forget();
  const auto cut = std::make_shared<std::promise<void>>();
  relay_->cut([cut] { cut->set_value(); });
  cut->get_future().wait();
  forget();
}

void OwnRelay::hurry() {
  const std::lock_guard lock(mutex_);
  hurries_ = true;
  changed_.notify_all();
}

/// Whether the last connection has ended within `limit`.
bool OwnRelay::drained(std::chrono::milliseconds limit) {
  // Its threads, which say so, end before this does.
  relay_->drain([this] {
    const std::lock_guard lock(mutex_);
    has_drained_ = true;
    changed_.notify_all();
  });
  // Longer ones overflow when they are added to now.
  const std::chrono::milliseconds most = std::chrono::hours(24 * 366);
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::min(limit, most), [this] { return has_drained_ || hurries_; });
  return has_drained_;
}

void OwnRelay::forget() {
  std::unique_ptr<Relay> relay;
  std::unique_ptr<net::IoThreads> threads;
  {
    const std::lock_guard lock(mutex_);
    last_ = relay_->snapshot();
    relay = std::move(relay_);
    threads = std::move(threads_);
  }
  // Without the mutex, which the end of a drain takes on a thread that is waited for here.
  relay.reset();
  threads.reset();
}

}  // namespace scistream::relay
