#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "dataserver/forwarder.hpp"
#include "dataserver/port_pool.hpp"
#include "dataserver/relay_forwarding.hpp"
#include "proxy/program.hpp"

namespace scistream::proxy {

/// Forwards by a proxy program beside this process, one a session. The listeners are bound here and
/// handed on, so that the proxy may die and be replaced while clients wait. What crosses the WAN at
/// a rate, or encrypted where the program does not do that itself, passes a relay of this process
/// on that side.
class ProxyForwarding final : public dataserver::Forwarding {
 public:
  /// `folder` is this data server's alone: each session has a folder below it while its proxy runs,
  /// and what an earlier data server left running there is ended. Everything happens on the thread
  /// of `bookkeeping`; `relays` are those in front.
  ProxyForwarding(boost::asio::io_context& bookkeeping, Program program,
                  std::filesystem::path folder, std::unique_ptr<dataserver::RelayForwarding> relays,
                  Logger log);

  [[nodiscard]] dataserver::Info info() const override;
  void reserve(const dataserver::ReserveRequest& request, News news,
               dataserver::Callback<std::unique_ptr<dataserver::Forwarder>> done) override;

 private:
  class ProxyForwarder;

  Result<std::unique_ptr<dataserver::Forwarder>> bind(const dataserver::ReserveRequest& request,
                                                      News news);

  boost::asio::io_context& bookkeeping_;
  const Program program_;
  const std::filesystem::path folder_;
  const std::unique_ptr<dataserver::RelayForwarding> relays_;
  const Logger log_;
  SteadyClock clock_;
  const std::shared_ptr<SocketTable> sockets_ = std::make_shared<SocketTable>();
  dataserver::PortPool ports_;
  std::uint64_t last_folder_ = 0;
};

}  // namespace scistream::proxy
