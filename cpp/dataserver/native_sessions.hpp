#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataserver/native.hpp"
#include "dataserver/port_pool.hpp"
#include "dataserver/watchers.hpp"
#include "relay/relay.hpp"
#include "relay/tls_link.hpp"

namespace scistream::dataserver {

/// What a NativeDataServer keeps about its sessions. Everything, callbacks included, runs on the
/// thread of `bookkeeping`; the machine of each session decides, this acts.
class NativeDataServer::Sessions {
 public:
  Sessions(boost::asio::io_context& bookkeeping, net::IoThreads& threads, NativeOptions options,
           Logger log);

  void info(const Callback<Info>& done);
  void reserve(const ReserveRequest& request, const Callback<Reservation>& done);
  void update(const UpdateRequest& request, const Callback<void>& done);
  void release(const SessionKey& key, Ending ending, Callback<void> done);
  void status(const std::optional<SessionKey>& key,
              const Callback<std::vector<SessionStatus>>& done);
  void watch(std::shared_ptr<Watchers::Subscriber> subscriber, std::chrono::milliseconds period);

  /// Cuts every session; `done` comes when all are gone. From now on everything is `unavailable`.
  void shut_down(std::function<void()> done);

 private:
  struct Session {
    std::uint64_t reservation = 0;
    Machine machine;
    std::vector<std::uint16_t> ports;
    std::vector<Endpoint> targets;
    std::string transport;
    std::shared_ptr<net::KeyRing> keys;  ///< Of an encrypted session.
    std::unique_ptr<relay::Relay> relay;
    std::vector<Callback<void>> releasing;
  };
  using Entry = std::map<SessionKey, Session>::value_type;

  Result<std::unique_ptr<relay::Relay>> make_relay(const ReserveRequest& request);
  /// How the connections of a session cross the WAN from now on.
  relay::TransportPtr transport(Entry& entry, const UpdateRequest& request);
  void start_release(Entry& entry, Ending ending, const std::string& why);
  void released(const SessionKey& key);
  void apply(Entry& entry, Input input, const std::string& detail = {});
  /// Tells the log and every watcher the state the machine is in.
  void announce(const Entry& entry, const std::string& detail);
  [[nodiscard]] SessionStatus describe(const Entry& entry, bool connections) const;
  [[nodiscard]] std::vector<SessionStatus> describe_all() const;

  boost::asio::io_context& bookkeeping_;
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
  std::map<SessionKey, Session> sessions_;
  std::uint64_t last_reservation_;
  Watchers watchers_;
  std::function<void()> shut_down_;
};

}  // namespace scistream::dataserver
