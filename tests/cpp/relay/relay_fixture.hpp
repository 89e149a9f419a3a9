#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "net/io_threads.hpp"
#include "net/sockets.hpp"
#include "relay/relay.hpp"

namespace scistream::test {

/// Two I/O threads and relays on 127.0.0.1.
class RelayFixture : public ::testing::Test {
 protected:
  using RelayPtr = std::unique_ptr<relay::Relay>;

  RelayPtr forward_to(const std::vector<Endpoint>& targets, relay::Options options = {}) {
    std::vector<relay::Pair> pairs;
    pairs.reserve(targets.size());
    for (const Endpoint& target : targets) pairs.push_back({{"127.0.0.1", 0}, target});
    return must(relay::Relay::open(threads_, pairs, std::move(options), null_logger()));
  }

  /// A relay without targets yet.
  RelayPtr make(relay::Mode before_targets, std::size_t listeners = 1,
                relay::Options options = {}) {
    std::vector<net::Fd> sockets;
    for (std::size_t i = 0; i < listeners; ++i) {
      sockets.push_back(must(net::bind_tcp(address_of({"127.0.0.1", 0}))));
    }
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

}  // namespace scistream::test
