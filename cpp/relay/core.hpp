#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/seldom.hpp"
#include "net/acceptor.hpp"
#include "relay/connection.hpp"
#include "relay/datagram_flows.hpp"
#include "relay/dial_order.hpp"
#include "relay/handshake_gate.hpp"
#include "relay/relay.hpp"

namespace scistream::relay {

/// What a Relay is a handle of. Kept alive by the handle, by accept loops and by live connections;
/// connections are known to it only weakly, so nothing keeps itself alive. Listeners live on the
/// thread of `home_`, each connection on its own. The mutex guards what is named below it and is
/// never taken where bytes move.
class Relay::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(net::IoThreads& threads, Options options, Logger log);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  Status listen(net::BoundPorts ports, Mode before_targets);
  Status retarget(std::vector<Endpoint> targets, TransportPtr transport);
  void close(bool cut, Callback done);

  void set_rate(std::uint64_t bits_per_second, bool leased) {
    shaping_->set_rate(bits_per_second, leased);
  }

  void save(Saved done);
  Status resume(ConnectionState state);

  [[nodiscard]] std::vector<Endpoint> bound() const;
  [[nodiscard]] Mode mode() const;
  [[nodiscard]] Snapshot snapshot() const;
  [[nodiscard]] std::vector<ConnectionSnapshot> connections() const;

 private:
  struct Live {
    std::shared_ptr<const ConnectionRecord> record;
    std::weak_ptr<Connection> connection;
    boost::asio::io_context* context = nullptr;
  };

  void accepted(std::size_t listener, net::Fd client, const net::tcp::endpoint& peer);
  /// Takes a client in; `address` is what the gate knows it by.
  void begin(std::size_t listener, net::Fd client, std::string peer, std::string address,
             bool datagrams);
  void start_datagrams();
  std::optional<DatagramListener::Plan> open_flow(std::size_t listener,
                                                  boost::asio::io_context& context,
                                                  const net::udp::endpoint& client);
  std::shared_ptr<ConnectionRecord> record_of(std::size_t listener, std::string peer);
  std::shared_ptr<Connection> connection_of(const std::shared_ptr<ConnectionRecord>& record,
                                            net::Fd client, const Endpoint& target,
                                            boost::asio::io_context& context);
  void admitted(const ConnectionRecord& record);
  void ended(const ConnectionRecord& record, ConnectionEnd how, const std::string& why);
  /// Says so, if the report says that.
  void refused(const ConnectionRecord& record, const std::string& why,
               const HandshakeGate::Report& report);
  void close_listeners();
  void close_datagrams(bool cut);
  void reset_connections();
  void finish_if_idle();

  net::IoThreads& threads_;
  boost::asio::io_context& home_;
  const Options options_;
  const Logger log_;
  const net::Acceptor::Accepted accepted_;
  const std::shared_ptr<Shaping> shaping_;
  Counters counters_;
  DialOrder dial_order_;
  std::vector<Endpoint> bound_;
  std::list<net::Acceptor> listeners_;     ///< The list itself never changes after listen().
  std::vector<net::Fd> datagram_sockets_;  ///< Until they are started, on `home_`.
  std::vector<std::shared_ptr<DatagramListener>> datagram_listeners_;  ///< On `home_`.
  bool datagrams_close_ = false;                                       ///< On `home_`.

  mutable std::mutex mutex_;
  Mode mode_ = Mode::refuse;
  bool closing_ = false;
  std::vector<Endpoint> targets_;
  TransportPtr transport_;
  HandshakeGate gate_;
  std::unordered_map<std::uint64_t, Live> live_;
  std::vector<Callback> waiting_;
  Seldom complaints_;                        ///< Of too many connections.
  std::size_t open_datagram_listeners_ = 0;  ///< Each is counted down once, by the first close.
};

}  // namespace scistream::relay
