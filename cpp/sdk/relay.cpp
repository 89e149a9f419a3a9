#include "scistream/relay.hpp"

#include <memory>
#include <utility>
#include <vector>

#include "relay/own_relay.hpp"
#include "sdk/callback_log.hpp"
#include "sdk/guarded.hpp"

namespace scistream::inline v0 {

class [[gnu::visibility("hidden")]] Relay::Impl {
 public:
  explicit Impl(std::unique_ptr<relay::OwnRelay> relay) : relay_(std::move(relay)) {}
  [[nodiscard]] relay::OwnRelay& relay() noexcept { return *relay_; }

 private:
  const std::unique_ptr<relay::OwnRelay> relay_;
};

Relay::Relay(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Relay::Relay(Relay&& other) noexcept = default;
Relay& Relay::operator=(Relay&& other) noexcept = default;
Relay::~Relay() = default;

Result<Relay> Relay::open(RelayOptions options) {
  return sdk::guarded([&]() -> Result<Relay> {
    std::vector<relay::Pair> pairs;
    pairs.reserve(options.pairs.size());
    for (RelayPair& each : options.pairs)
      pairs.push_back({std::move(each.listener), std::move(each.target)});
    auto relay =
        relay::OwnRelay::open(pairs, options.threads, sdk::logger_of(std::move(options.log)));
    if (!relay) return relay.error();
    return Relay(std::make_unique<Impl>(std::move(*relay)));
  });
}

std::vector<Endpoint> Relay::listeners() const { return impl_->relay().listeners(); }

RelayStats Relay::stats() const {
  const relay::Snapshot now = impl_->relay().snapshot();
  return {now.bytes_to_client,   now.bytes_to_target, now.connections_active,
          now.connections_total, now.errors,          now.idle};
}

void Relay::close(std::chrono::milliseconds drain) { impl_->relay().close(drain); }

}  // namespace scistream::inline v0
