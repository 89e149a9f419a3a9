#pragma once

#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "dataserver/forwarder.hpp"
#include "dataserver/port_pool.hpp"
#include "net/io_threads.hpp"
#include "net/tls_handshake.hpp"
#include "net/tls_suite.hpp"
#include "relay/options.hpp"
#include "relay/transport.hpp"

namespace scistream::dataserver {

/// Forwards in this process: a relay a session.
class RelayForwarding final : public Forwarding {
 public:
  /// `threads` must outlive it and run until it is destroyed.
  RelayForwarding(net::IoThreads& threads, std::vector<net::Ciphersuite> suites,
                  relay::Options options, Logger log);

  [[nodiscard]] Info info() const override;
  void reserve(const ReserveRequest& request, News news,
               Callback<std::unique_ptr<Forwarder>> done) override;
  /// A forwarder at ports that are bound already; `proxy_protocol` as in a ReserveRequest.
  Result<std::unique_ptr<Forwarder>> over(net::BoundPorts ports, Role role, bool proxy_protocol);

 private:
  class RelayForwarder;

  net::IoThreads& threads_;
  /// What the facility has each way over the WAN.
  const std::shared_ptr<relay::Schedule> outbound_ = std::make_shared<relay::Schedule>();
  const std::shared_ptr<relay::Schedule> inbound_ = std::make_shared<relay::Schedule>();
  const relay::Options options_;
  const std::vector<net::Ciphersuite> suites_;
  const std::shared_ptr<const net::TlsContext> tls_client_;
  const std::shared_ptr<const net::TlsContext> tls_server_;
  SteadyClock clock_;
  const Logger log_;
  PortPool ports_;
};

}  // namespace scistream::dataserver
