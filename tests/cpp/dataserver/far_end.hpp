#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/log.hpp"
#include "net/io_threads.hpp"
#include "net/sockets.hpp"
#include "net/tls_keys.hpp"
#include "relay/relay.hpp"
#include "relay/tls_link.hpp"

namespace scistream::test {

/// The other facility's side of an encrypted session: relays of ours that have its key.
class FarEnd {
 public:
  [[nodiscard]] const Secret& key() const { return key_; }

  /// Takes connections in clear, and takes them on to `listener` encrypted.
  Endpoint before(const Endpoint& listener) {
    return leg(listener, net::TlsRole::client, relay::Side::dialled);
  }
  /// Takes encrypted connections, and takes them on to `target` in clear.
  Endpoint behind(const Endpoint& target) {
    return leg(target, net::TlsRole::server, relay::Side::accepted);
  }

  /// Ends all connections through it.
  void forget() { legs_.clear(); }

 private:
  Endpoint leg(const Endpoint& target, net::TlsRole role, relay::Side far) {
    auto& relay = legs_[to_string(target)];
    if (!relay) {
      auto transport =
          relay::tls_transport(far, std::make_shared<net::TlsContext>(role, suites_), keys_);
      relay = must(relay::Relay::open(*threads(), {{{"127.0.0.1", 0}, target}}, {}, null_logger(),
                                      std::move(transport)));
    }
    return relay->listeners().front();
  }

  /// Not before they are needed: most tests are in clear.
  net::IoThreads* threads() {
    if (!threads_) threads_ = std::make_unique<net::IoThreads>(1);
    if (!keys_->present()) keys_->replace(key_);
    return threads_.get();
  }

  const Secret key_ = Secret::random(key_size);
  const std::vector<net::Ciphersuite> suites_{net::Ciphersuite::aes_128_gcm};
  SteadyClock clock_;
  const std::shared_ptr<net::KeyRing> keys_ = std::make_shared<net::KeyRing>(suites_, clock_);
  std::unique_ptr<net::IoThreads> threads_;
  std::map<std::string, std::unique_ptr<relay::Relay>> legs_;
};

}  // namespace scistream::test
