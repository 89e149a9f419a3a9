#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/export.hpp"
#include "scistream/secret.hpp"
#include "scistream/session_key.hpp"

namespace scistream::inline v0 {

/// One step of a session's set-up.
struct StateChange {
  std::string state;  ///< `reserving`, `provisioning`, `updating`, `releasing`, `idle`
  std::chrono::microseconds at{0};  ///< Since the request began.
};

/// A session as one control server shows it.
struct SessionStatus {
  std::string uid;
  Role role = Role::producer;  ///< The side that this server has.
  std::string state;  ///< Of its machine: `idle`, `reserving`, `listening`, `updating`, `releasing`
  std::string phase;  ///< What it waits for next, or `ready`.
  std::vector<Endpoint> listeners;
  std::vector<Endpoint> targets;  ///< Listener i feeds target i modulo their number.
  int num_conn = 0;               ///< Listeners.
  long long rate_mbps = 0;        ///< Mbit/s of payload each way; 0 is best effort.
  bool rate_is_leased = false;    ///< Whether so much of the facility's capacity is set aside.
  std::string protocol;           ///< `tcp`, or `udp`: datagrams as well as connections.
  std::string transport;          ///< Between the facilities: `tcp` or `tls`.
  std::string protection;         ///< `encrypted`, `authenticated only` or `none`, there.
  std::map<std::string, std::string> labels;
  std::chrono::milliseconds age{0};  ///< Since the request.
  std::uint64_t bytes_to_consumer = 0;
  std::uint64_t bytes_to_producer = 0;
  std::uint64_t connections_active = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t errors = 0;           ///< Connections that did not end cleanly.
  std::uint64_t refused = 0;          ///< Peers that had not the session's key; errors as well.
  std::chrono::milliseconds idle{0};  ///< Since bytes last moved or a connection came or went.
  std::string note;                   ///< What its data server last told of it.
};

/// What has gone through a session, as its consumer's facility counts it.
struct SessionStats {
  std::uint64_t bytes_to_consumer = 0;  ///< Of the applications, as those of the next line.
  std::uint64_t bytes_to_producer = 0;
  std::uint64_t connections_active = 0;
  std::uint64_t connections_total = 0;
  std::uint64_t errors = 0;           ///< Not ended cleanly, at the facility that has more of them.
  std::uint64_t refused = 0;          ///< Peers that had not the session's key, at both.
  std::chrono::milliseconds idle{0};  ///< Since bytes last moved or a connection came or went.
};

/// A session that is set up. It is released when this object dies, unless told to be kept.
///
/// Shares the connections of the client that made it, and may outlive that. Every function may be
/// called from any thread; one that was moved from may only be destroyed or assigned to.
class SCISTREAM_EXPORT Session {
 public:
  Session(Session&& other) noexcept;
  /// Releases what was there before.
  Session& operator=(Session&& other) noexcept;
  /// As `release`, whatever comes of it: what cannot be reached ends by its own clocks. Takes 5 s
  /// at most.
  ~Session();

  [[nodiscard]] const std::string& uid() const noexcept;
  /// Where the consumer application connects.
  [[nodiscard]] const std::vector<Endpoint>& listeners() const noexcept;
  /// Where the consumer's facility connects to the producer's.
  [[nodiscard]] const std::vector<Endpoint>& prod_listeners() const noexcept;
  /// Where the producer application listens.
  [[nodiscard]] const std::vector<Endpoint>& targets() const noexcept;
  /// Between the facilities: `tcp` or `tls`.
  [[nodiscard]] const std::string& transport() const noexcept;
  /// From request to ready.
  [[nodiscard]] std::chrono::microseconds setup_time() const noexcept;
  /// The states of the set-up, oldest first.
  [[nodiscard]] const std::vector<StateChange>& states() const noexcept;
  /// The secret that the application controller of this side must know, 32 bytes. Empty where none
  /// was sent, because the control channel is neither encrypted nor local.
  [[nodiscard]] const Secret& app_key(Role role) const noexcept;

  /// The session at each of its control servers; one that does not answer within some seconds is
  /// missing, as long as another one does. `not_found`: it has ended; `unavailable`: no server can
  /// be reached; `cancelled`: `stop` was requested.
  [[nodiscard]] Result<std::vector<SessionStatus>> status(std::stop_token stop = {}) const;
  /// What has gone through it; errors as `status`.
  [[nodiscard]] Result<SessionStats> stats(std::stop_token stop = {}) const;
  /// Gives it another rate; as UserClient::set_rate.
  [[nodiscard]] Result<bool> set_rate(long long rate_mbps);

  /// Ends it: listeners are closed, connections reset, ports and bandwidth free. One that has ended
  /// already is a success. `unavailable`: a control server cannot be reached; the other one has
  /// released it, and to say it again tries again.
  Status release();
  /// Ends it with its last live connection: only the listeners are closed at once. Returns when it
  /// has ended, a day later at most (`timeout`), or when `stop` is requested (`cancelled`): once
  /// both control servers have been told, it ends all the same. A `release`, which this object says
  /// when it dies, cuts it. Errors as `release`, and `failed_precondition`: a control server of
  /// another version, which cannot wait.
  Status drain(std::stop_token stop = {});
  /// It lives on when this object dies, until its lifetime is over or somebody releases it.
  void keep() noexcept;

 private:
  friend class PendingSession;
  class Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A session that is being set up, on a thread of its own: what the application controllers must be
/// told before it can be ready, is known already. Otherwise as Session.
class SCISTREAM_EXPORT PendingSession {
 public:
  PendingSession(PendingSession&& other) noexcept;
  /// Gives up what was there before.
  PendingSession& operator=(PendingSession&& other) noexcept;
  /// Gives up, and releases what is reserved or set up, if `wait` has not handed it out.
  ~PendingSession();

  [[nodiscard]] const std::string& uid() const noexcept;
  /// As Session::app_key.
  [[nodiscard]] const Secret& app_key(Role role) const noexcept;
  /// The states so far, oldest first.
  [[nodiscard]] std::vector<StateChange> states() const;

  /// Waits until it is set up, and hands the session out, once. `timeout`: it is not set up after
  /// so long, and goes on; `cancelled`: nor when `stop` was requested; otherwise why it failed, as
  /// UserClient::request says; `failed_precondition`: it has been handed out; `invalid_argument`:
  /// the timeout is negative, or longer than 10 years.
  [[nodiscard]] Result<Session> wait(std::optional<std::chrono::milliseconds> timeout = {},
                                     std::stop_token stop = {});

 private:
  friend class UserClient;
  class Impl;
  explicit PendingSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::inline v0
