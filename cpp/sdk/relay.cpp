#include "scistream/relay.hpp"

#include <algorithm>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "relay/relay.hpp"
#include "sdk/callback_log.hpp"
#include "sdk/guarded.hpp"

namespace scistream::inline v0 {

/// The relay and the threads that it runs on, until closed. Owns both; any thread.
class [[gnu::visibility("hidden")]] Relay::Impl {
 public:
  Impl(std::unique_ptr<net::IoThreads> threads, std::unique_ptr<relay::Relay> relay)
      : threads_(std::move(threads)), relay_(std::move(relay)), listeners_(relay_->listeners()) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { close(std::chrono::milliseconds(0)); }

  [[nodiscard]] const std::vector<Endpoint>& listeners() const { return listeners_; }

  [[nodiscard]] relay::Snapshot snapshot() const {
    const std::lock_guard lock(mutex_);
    return relay_ ? relay_->snapshot() : last_;
  }

  void close(std::chrono::milliseconds drain) {
    const std::lock_guard turn(turn_mutex_);
    if (!relay_) return;
    if (drain.count() > 0 && drained(drain)) return forget();
    const auto cut = std::make_shared<std::promise<void>>();
    relay_->cut([cut] { cut->set_value(); });
    cut->get_future().wait();
    forget();
  }

 private:
  /// Whether the last connection has ended within `limit`.
  [[nodiscard]] bool drained(std::chrono::milliseconds limit) {
    const auto drained = std::make_shared<std::promise<void>>();
    relay_->drain([drained] { drained->set_value(); });
    // Longer ones overflow when they are added to now.
    const std::chrono::milliseconds most = std::chrono::hours(24 * 366);
    return drained->get_future().wait_for(std::min(limit, most)) == std::future_status::ready;
  }

  void forget() {
    const std::lock_guard lock(mutex_);
    last_ = relay_->snapshot();
    relay_.reset();
    threads_.reset();
  }

  std::mutex turn_mutex_;     ///< One close after another.
  mutable std::mutex mutex_;  ///< After it: of changes of the pointers, and of `last_`.
  std::unique_ptr<net::IoThreads> threads_;
  std::unique_ptr<relay::Relay> relay_;
  const std::vector<Endpoint> listeners_;
  relay::Snapshot last_;
};

Relay::Relay(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Relay::Relay(Relay&& other) noexcept = default;
Relay& Relay::operator=(Relay&& other) noexcept = default;
Relay::~Relay() = default;

Result<Relay> Relay::open(RelayOptions options) {
  return sdk::guarded([&]() -> Result<Relay> {
    if (options.pairs.empty())
      return Error{Cause::invalid_argument, "a relay needs a listener and a target"};
    std::vector<relay::Pair> pairs;
    pairs.reserve(options.pairs.size());
    for (RelayPair& each : options.pairs)
      pairs.push_back({std::move(each.listener), std::move(each.target)});
    const std::size_t cores = std::thread::hardware_concurrency();
    auto threads = std::make_unique<net::IoThreads>(options.threads == 0 ? cores : options.threads);
    auto relay = relay::Relay::open(*threads, pairs, {}, sdk::logger_of(std::move(options.log)));
    if (!relay) return relay.error();
    return Relay(std::make_unique<Impl>(std::move(threads), std::move(*relay)));
  });
}

std::vector<Endpoint> Relay::listeners() const { return impl_->listeners(); }

RelayStats Relay::stats() const {
  const relay::Snapshot now = impl_->snapshot();
  return {now.bytes_to_client,   now.bytes_to_target, now.connections_active,
          now.connections_total, now.errors,          now.idle};
}

void Relay::close(std::chrono::milliseconds drain) { impl_->close(drain); }

}  // namespace scistream::inline v0
