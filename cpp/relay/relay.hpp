#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "net/bound_ports.hpp"
#include "net/io_threads.hpp"
#include "relay/connection_state.hpp"
#include "relay/options.hpp"
#include "relay/transport.hpp"

namespace scistream::relay {

/// What the listeners do with connections until the relay has targets.
enum class Mode {
  refuse,   ///< Bound, not listening: the kernel refuses them.
  hold,     ///< Listening, not accepting: they wait unread in the backlog.
  forward,  ///< Accepting; each is dialled to its target.
};

/// What went through a relay. Bytes are payload bytes handed to the kernel.
struct Snapshot {
  std::uint64_t bytes_to_client = 0;
  std::uint64_t bytes_to_target = 0;
  std::uint64_t connections_active = 0;  ///< Of peers that may use it, as is the total.
  std::uint64_t connections_total = 0;
  std::uint64_t errors = 0;   ///< Connections that did not end cleanly, refused ones included.
  std::uint64_t refused = 0;  ///< Peers that did not prove that they have the key.
  std::chrono::milliseconds idle{0};  ///< Since bytes last moved or a connection came or went.
};

/// One live connection of a relay.
struct ConnectionSnapshot {
  std::uint64_t id = 0;
  std::size_t listener = 0;  ///< Index of the listener it came in by.
  std::string peer;          ///< Who connected, `host:port`.
  std::string target;        ///< Where it goes, empty until dialled.
  std::uint64_t bytes_to_client = 0;
  std::uint64_t bytes_to_target = 0;
  std::chrono::milliseconds idle{0};
};

/// A listener to bind and the target it feeds.
struct Pair {
  Endpoint listener;  ///< Port 0 takes any free one.
  Endpoint target;
};

/// Forwards what its listeners accept to its targets: listener i feeds target i mod m. Owns the
/// listening sockets and, through their pending handlers, the live connections, which are spread
/// over the I/O threads. Every function may be called from any thread; callbacks come on an I/O
/// thread and must not block. `threads` must outlive the relay and everything it still does.
///
/// Destroying the relay cuts it without waiting; callbacks given to cut() or drain() before still
/// come, unless the I/O threads stop first.
class Relay {
 public:
  using Callback = std::function<void()>;

  /// Takes bound sockets and holds or refuses connections until retarget(). The error is that of
  /// the listener that cannot listen; nothing is kept then.
  static Result<std::unique_ptr<Relay>> create(net::IoThreads& threads, net::BoundPorts ports,
                                               Mode before_targets, Options options, Logger log);

  /// Binds every listener and forwards at once.
  static Result<std::unique_ptr<Relay>> open(net::IoThreads& threads,
                                             const std::vector<Pair>& pairs, Options options,
                                             Logger log,
                                             TransportPtr transport = tcp_transport(Side::dialled));

  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  /// Where the listeners are bound, in listener order.
  [[nodiscard]] std::vector<Endpoint> listeners() const;

  /// Sets the targets of connections accepted from now on, and how they cross the WAN, and starts
  /// to forward. When it returns without error every listener takes connections.
  /// `invalid_argument` for an empty list, `failed_precondition` once cut or drained; after any
  /// other error only cut() makes sense.
  Status retarget(std::vector<Endpoint> targets,
                  TransportPtr transport = tcp_transport(Side::dialled));

  /// Payload bits a second that all connections together move each way, live ones included; 0 is
  /// no limit. What is `leased` goes ahead of what others share of `Options::facility`.
  void set_rate(std::uint64_t bits_per_second, bool leased = false);

  using Saved = std::function<void(std::vector<ConnectionState>)>;
  /// Takes every connection that carries out of this relay, for resume() of another: of this or of
  /// another process (pack, unpack). Its peers notice nothing. What is still being set up, and
  /// datagrams, stay here. `done` comes once. Listeners stay as they are.
  void save(Saved done);
  /// Goes on with a connection that came from save() of a relay with the same transport.
  /// `invalid_argument` if this one's is another, `failed_precondition` while it does not forward;
  /// then the connection is gone, and both its peers see a reset.
  Status resume(ConnectionState state);

  [[nodiscard]] Mode mode() const;
  [[nodiscard]] Snapshot snapshot() const;
  [[nodiscard]] std::vector<ConnectionSnapshot> connections() const;

  /// Closes the listeners and resets every connection; `done` comes when all are gone and the ports
  /// are free. May follow drain().
  void cut(Callback done);
  /// Closes the listeners; `done` comes when the last connection has ended by itself.
  void drain(Callback done);

 private:
  class Core;
  explicit Relay(std::shared_ptr<Core> core) : core_(std::move(core)) {}

  std::shared_ptr<Core> core_;
};

}  // namespace scistream::relay
