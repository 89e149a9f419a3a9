#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "base/secret.hpp"
#include "dataserver/machine.hpp"
#include "net/destinations.hpp"
#include "scistream/session_key.hpp"

namespace scistream::dataserver {

/// Most listeners one session may have.
inline constexpr int max_num_conn = 4096;

/// How a session's connections may cross the WAN.
namespace transport {
inline constexpr const char* tcp = "tcp";  ///< As they are.
inline constexpr const char* tls = "tls";  ///< TLS 1.3 with the session's data key.
}  // namespace transport

struct ReserveRequest {
  SessionKey session;
  int num_conn = 1;       ///< Listeners wanted, 1 to `max_num_conn`.
  std::string bind_host;  ///< Local address, or a wildcard.
  PortRange ports;  ///< Listeners take free ports of this range; those held by others are skipped.
  std::vector<std::uint16_t> exact_ports;  ///< When not empty: exactly these (a session restored).
  bool datagrams = false;                  ///< The listeners take datagrams as well.
  /// Targets are told who connects: each connection begins with a header of the PROXY protocol.
  bool proxy_protocol = false;
};

/// What a session holds at the data server.
struct Reservation {
  /// Never given twice, by whatever data server: tells a session from an earlier one of the same
  /// key, of which events may still be under way, and from one of another data server's.
  std::uint64_t id = 0;
  std::vector<std::uint16_t> ports;  ///< One a listener, in listener order.
};

/// What a session may take of the network, in payload Mbit/s each way.
struct RateLimit {
  std::uint64_t mbps = 0;  ///< All its connections together; 0: no limit of its own.
  bool leased = false;     ///< It has this rate, whatever others do.
  std::uint64_t capacity_mbps =
      0;  ///< Of the facility, shared by all who leased none; 0: no limit.
};

struct UpdateRequest {
  SessionKey session;
  std::vector<Endpoint> targets;           ///< Listener i feeds target i mod size; not empty.
  std::string transport = transport::tcp;  ///< Of the WAN leg.
  Secret data_key;                         ///< Empty for `tcp`; 32 bytes otherwise.
  RateLimit rate;                          ///< Of live connections as well.
  net::Destinations allowed{};             ///< Where targets may be when they are dialled.
};

enum class Ending {
  cut,    ///< Live connections are reset at once.
  drain,  ///< Listeners close now, the session ends with its last live connection.
};

/// What went through one session since it was reserved. Bytes are payload bytes. Of connections
/// that live through another program the kernel counts, which may be a few ahead of what the
/// program says in the end.
struct Counters {
  std::uint64_t bytes_to_consumer = 0;  ///< From the producer's side to the consumer's.
  std::uint64_t bytes_to_producer = 0;  ///< The other way.
  std::uint64_t connections_active = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t errors = 0;   ///< Connections that did not end cleanly, failed dials included.
  std::uint64_t refused = 0;  ///< Peers without the session's key; errors as well.
  std::chrono::milliseconds idle{0};  ///< Since bytes last moved or a connection came or went.
};

/// What went through in all, where `later` follows on `earlier`.
[[nodiscard]] Counters operator+(const Counters& earlier, const Counters& later);

/// One live connection of a session.
struct ConnectionStatus {
  std::uint64_t id = 0;    ///< Unique within the data server.
  std::uint16_t port = 0;  ///< The listener it came in by.
  std::string peer;        ///< Who connected, `host:port`.
  std::string target;      ///< Where it goes, empty until dialled.
  std::uint64_t bytes_to_consumer = 0;
  std::uint64_t bytes_to_producer = 0;
  std::chrono::milliseconds idle{0};
};

struct SessionStatus {
  SessionKey session;
  std::uint64_t reservation = 0;  ///< `Reservation::id`.
  State state = State::idle;
  std::vector<std::uint16_t> ports;
  std::vector<Endpoint> targets;  ///< Empty until the first update.
  std::string transport;          ///< Empty until the first update.
  Counters counters;
  std::vector<ConnectionStatus> connections;  ///< Only where a single session was asked for.
};

/// What `watch` delivers.
struct Event {
  enum class Kind {
    state,     ///< `status.state` changed.
    counters,  ///< Periodic, only for sessions whose counters changed since the last one.
    gone,      ///< The session is released; the last event about it.
    lost,      ///< The data server itself stopped answering; no further event comes.
  };
  Kind kind = Kind::state;
  SessionStatus status;
  std::string detail;  ///< Why, for `lost` and for states entered by an error.
};

/// A session as it ended, with all its counters; nothing if there was none.
using Released = std::optional<SessionStatus>;

/// What a data server is and can do.
struct Info {
  std::string kind;  ///< `Native`, …
  std::string version;
  std::vector<std::string> transports;  ///< `tcp`, …
  std::uint64_t sessions = 0;
};

template <class T>
using Callback = std::function<void(Result<T>)>;

/// Ends the watch when destroyed: after the destructor returns, its observer is not called again,
/// unless the destructor runs inside the observer.
class Watch {
 public:
  virtual ~Watch() = default;
};

/// The S2DS: reserves listeners, forwards what they accept to targets, counts, releases.
///
/// One interface for a data server inside this process, one in a process beside it and one on
/// another gateway node. Every function may be called from any thread, returns at once, and calls
/// its callback exactly once, possibly on a thread of the data server, possibly before it returns:
/// callbacks must not block. All are safe to repeat: `reserve` of a session that exists with the
/// same number of listeners answers its reservation, `release` of an unknown session succeeds.
///
/// Errors: `exhausted` (too few ports, says how many are free), `not_found` (no such session),
/// `failed_precondition` (the S2DS machine refuses), `invalid_argument`, `unavailable` (gone).
class DataServer {
 public:
  virtual ~DataServer() = default;

  virtual void info(Callback<Info> done) = 0;
  /// Binds the listeners. Those of a producer session refuse connections until `update`; those of a
  /// consumer session let them wait, unread and bounded by the listen backlog.
  virtual void reserve(const ReserveRequest& request, Callback<Reservation> done) = 0;
  /// Sets or replaces the targets; live connections keep the target that they have.
  virtual void update(const UpdateRequest& request, Callback<void> done) = 0;
  /// Closes the listeners and ends the session. Answers when its ports are free again; with
  /// `Ending::drain` that is when the last connection has ended.
  virtual void release(const SessionKey& session, Ending ending, Callback<Released> done) = 0;
  /// All sessions, or the one named (`not_found` if there is none).
  virtual void status(const std::optional<SessionKey>& session,
                      Callback<std::vector<SessionStatus>> done) = 0;
  /// Calls `observer` for every event from now on, counters at most every `period`, one call at a
  /// time.
  [[nodiscard]] virtual std::unique_ptr<Watch> watch(
      std::chrono::milliseconds period, std::function<void(const Event&)> observer) = 0;
  /// It is about to end: what waits for code of users shall not wait long. Others need not know.
  virtual void hurry() {}
};

}  // namespace scistream::dataserver
