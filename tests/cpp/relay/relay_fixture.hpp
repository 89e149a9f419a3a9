#pragma once

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "net/io_threads.hpp"
#include "net/sockets.hpp"
#include "relay/relay.hpp"
#include "relay/tls_link.hpp"

namespace scistream::test {

/// A key ring that knows one key.
inline std::shared_ptr<net::KeyRing> ring_of(const Secret& key) {
  static const SteadyClock clock;
  auto ring = std::make_shared<net::KeyRing>(
      std::vector{net::Ciphersuite::aes_128_gcm, net::Ciphersuite::aes_256_gcm}, clock);
  ring->replace(key);
  return ring;
}

/// The transport of the relay that connects over the WAN, or of the one that is connected to.
inline relay::TransportPtr tls(relay::Side far_side, const std::shared_ptr<net::KeyRing>& keys) {
  const auto role = far_side == relay::Side::dialled ? net::TlsRole::client : net::TlsRole::server;
  return relay::tls_transport(far_side, std::make_shared<net::TlsContext>(role, keys->suites()),
                              keys);
}

/// The relay that clients connect to and, where the leg is encrypted, the one behind it.
struct TwoRelays {
  std::unique_ptr<relay::Relay> producer;
  std::unique_ptr<relay::Relay> consumer;
  relay::Relay* operator->() const { return consumer.get(); }
  relay::Relay& operator*() const { return *consumer; }
};

/// What may lie between a client and its target.
inline constexpr std::array<const char*, 4> legs{"plain", "encrypted", "plain_limited",
                                                 "encrypted_limited"};

/// Two I/O threads and relays on 127.0.0.1.
class RelayFixture : public ::testing::Test {
 protected:
  using RelayPtr = std::unique_ptr<relay::Relay>;

  RelayPtr forward_to(const std::vector<Endpoint>& targets, const relay::Options& options = {}) {
    return open(threads_, targets, options, relay::tcp_transport(relay::Side::dialled));
  }

  static TwoRelays plain(net::IoThreads& threads, const std::vector<Endpoint>& targets,
                         const relay::Options& options) {
    return {nullptr, open(threads, targets, options, relay::tcp_transport(relay::Side::dialled))};
  }
  static TwoRelays encrypted(net::IoThreads& threads, const std::vector<Endpoint>& targets,
                             const relay::Options& options,
                             const Secret& key = Secret::random(key_size)) {
    TwoRelays two;
    two.producer = open(threads, targets, options, tls(relay::Side::accepted, ring_of(key)));
    two.consumer =
        open(threads, two.producer->listeners(), options, tls(relay::Side::dialled, ring_of(key)));
    return two;
  }
  static RelayPtr open(net::IoThreads& threads, const std::vector<Endpoint>& targets,
                       const relay::Options& options, relay::TransportPtr transport) {
    std::vector<relay::Pair> pairs;
    pairs.reserve(targets.size());
    for (const Endpoint& target : targets) pairs.push_back({{"127.0.0.1", 0}, target});
    return must(relay::Relay::open(threads, pairs, options, null_logger(), std::move(transport)));
  }

  /// The one of `legs` that has this name.
  static TwoRelays leg_to(std::string_view leg, net::IoThreads& threads,
                          const std::vector<Endpoint>& targets,
                          const relay::Options& options = {}) {
    TwoRelays relays = leg.starts_with("plain") ? plain(threads, targets, options)
                                                : encrypted(threads, targets, options);
    if (leg.ends_with("limited")) {
      // High enough for the amounts here, low enough for everything to wait for its turn.
      relays.consumer->set_rate(4'000 * relay::bits_per_megabit);
      if (relays.producer) relays.producer->set_rate(4'000 * relay::bits_per_megabit);
    }
    return relays;
  }

  /// A relay without targets yet.
  RelayPtr make(relay::Mode before_targets, std::size_t listeners = 1,
                relay::Options options = {}) {
    net::BoundPorts sockets;
    for (std::size_t i = 0; i < listeners; ++i)
      must(sockets.bind(address_of({"127.0.0.1", 0}), options.datagrams));
    return must(relay::Relay::create(threads_, std::move(sockets), before_targets,
                                     std::move(options), null_logger()));
  }

  /// A client, and the connection that the relay made for it.
  struct Stream {
    net::Fd client;
    net::Fd target;
  };
  static Stream stream_through(const relay::Relay& relay, const Target& target) {
    net::Fd client = connect_to(relay.listeners().at(0));
    net::Fd accepted = target.accept();
    EXPECT_TRUE(accepted);
    return {std::move(client), std::move(accepted)};
  }

  /// The future of a cut or drain.
  static std::future<void> done_of(const std::function<void(relay::Relay::Callback)>& start) {
    auto promise = std::make_shared<std::promise<void>>();
    start([promise] { promise->set_value(); });
    return promise->get_future();
  }
  static std::future<void> cut(relay::Relay& relay) {
    return done_of([&](relay::Relay::Callback done) { relay.cut(std::move(done)); });
  }
  static std::future<void> drain(relay::Relay& relay) {
    return done_of([&](relay::Relay::Callback done) { relay.drain(std::move(done)); });
  }
  static bool comes(const std::future<void>& future) {
    return future.wait_for(patience) == std::future_status::ready;
  }

  net::IoThreads threads_{2};
};

/// One plain relay, or two with an encrypted leg between them, with a rate or without: who connects
/// sees no difference.
class EveryLeg : public RelayFixture, public ::testing::WithParamInterface<const char*> {
 public:
  static std::string name(const ::testing::TestParamInfo<const char*>& leg) { return leg.param; }

 protected:
  TwoRelays forward_to(const std::vector<Endpoint>& targets, const relay::Options& options = {},
                       net::IoThreads* threads = nullptr) {
    return leg_to(GetParam(), threads == nullptr ? threads_ : *threads, targets, options);
  }
};

inline const auto every_leg = ::testing::ValuesIn(legs);

}  // namespace scistream::test
