#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/export.hpp"
#include "scistream/secret.hpp"
#include "scistream/session_key.hpp"

namespace scistream::inline v0 {

/// The listeners that a session asks a data server for.
struct ListenRequest {
  SessionKey session;
  int num_conn = 1;       ///< Listeners wanted, 1 to 4096.
  std::string bind_host;  ///< A local address, or a wildcard.
  PortRange ports;        ///< Listeners take free ports of this range; those of others are skipped.
  std::vector<std::uint16_t> exact_ports;  ///< When not empty: exactly these, one a listener.
  bool datagrams = false;                  ///< The listeners take datagrams as well.
  /// Targets are told who connects: each connection begins with a header of the PROXY protocol.
  bool proxy_protocol = false;
};

/// Where the connections of a session are to go, and how.
struct ForwardRequest {
  std::vector<Endpoint> targets;    ///< Listener i feeds target i mod size; not empty.
  std::string transport = "tcp";    ///< Between the facilities: one that the data server offers.
  Secret data_key;                  ///< Of `tls`: 32 bytes; else empty.
  std::uint64_t rate_mbps = 0;      ///< Payload each way, all connections together; 0: no limit.
  bool rate_is_leased = false;      ///< It has this rate, whatever others do.
  std::uint64_t capacity_mbps = 0;  ///< Of the facility, shared by who leased none; 0: no limit.
  /// Whether the facility lets connections go to this numeric address; to be asked before each
  /// dial, after a name has been looked up. Any thread.
  std::function<bool(const std::string& address, std::uint16_t port)> permits;
};

/// What went through one session since its listeners were bound. Bytes are payload bytes.
struct Traffic {
  std::uint64_t bytes_to_consumer = 0;  ///< From the producer's side to the consumer's.
  std::uint64_t bytes_to_producer = 0;  ///< The other way.
  std::uint64_t connections_active = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t errors = 0;   ///< Connections that did not end cleanly, failed dials included.
  std::uint64_t refused = 0;  ///< Peers without the session's key; errors as well.

  friend bool operator==(const Traffic&, const Traffic&) = default;
};

/// One live connection of a session.
struct Connection {
  std::uint64_t id = 0;    ///< Unique within the data server.
  std::uint16_t port = 0;  ///< The listener it came in by.
  std::string peer;        ///< Who connected, `host:port`.
  std::string target;      ///< Where it goes, empty until dialled.
  std::uint64_t bytes_to_consumer = 0;
  std::uint64_t bytes_to_producer = 0;
};

/// What the connections of one session go through: made by a data server of one's own, and owned by
/// the control server that asked for it. Ports of a producer session should refuse connections
/// until the first `forward`, those of a consumer session let them wait.
///
/// Every function may take its time: each is called on a thread that is kept for that. `forward` is
/// called once at a time; `traffic` while anything else runs, and so is `cut`, which makes what
/// waits return. What is thrown ends the session, with its text. After `cut` or `drain` has
/// returned only `traffic` is called, once.
class Channel {
 public:
  virtual ~Channel() = default;

  /// In listener order. Does not change, is asked for once, right after `listen`.
  [[nodiscard]] virtual std::vector<std::uint16_t> ports() const = 0;
  /// Sets or replaces the targets and the rate; live connections keep the target that they have.
  /// An error ends the session.
  virtual Status forward(const ForwardRequest& request) = 0;
  /// Closes the listeners and resets the connections; returns when the ports are free. May follow
  /// `drain`, which then returns too.
  virtual void cut() = 0;
  /// Closes the listeners; returns when the last connection has ended by itself.
  virtual void drain() = 0;
  [[nodiscard]] virtual Traffic traffic() const = 0;
  /// For `s2uc status`; as `traffic`.
  [[nodiscard]] virtual std::vector<Connection> connections() const { return {}; }
};

/// A data server (S2DS) of one's own, for a control server in the same process
/// (`ControlServerOptions::own_data_server`): forwards in whatever way it can. Lives as long as its
/// channels.
class DataServer {
 public:
  virtual ~DataServer() = default;

  /// What users are told that it is: 1 to 64 letters, digits, `-`, `_` or `.`.
  [[nodiscard]] virtual std::string kind() const = 0;
  /// Which it can, of `tcp` (as it comes) and `tls` (encrypted with the session's key).
  [[nodiscard]] virtual std::vector<std::string> transports() const { return {"tcp"}; }
  /// Binds the listeners, and says what serves them. Called on any thread, for several sessions at
  /// a time. `exhausted` where ports are missing; whatever it throws is an error as well.
  virtual Result<std::unique_ptr<Channel>> listen(const ListenRequest& request) = 0;
};

}  // namespace scistream::inline v0
