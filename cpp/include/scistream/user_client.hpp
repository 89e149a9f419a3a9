#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "scistream/client_options.hpp"
#include "scistream/endpoint.hpp"
#include "scistream/error.hpp"
#include "scistream/export.hpp"
#include "scistream/secret.hpp"
#include "scistream/session.hpp"

namespace scistream::inline v0 {

/// A session between two facilities, as a user asks for it.
struct SessionRequest {
  Endpoint prod;     ///< Control server of the producer's facility.
  Endpoint cons;     ///< Control server of the consumer's facility.
  int num_conn = 1;  ///< Listeners, 1 to 4096; each takes any number of connections.
  /// Mbit/s of payload each way to reserve; nothing is best effort.
  std::optional<long long> rate_mbps;
  /// Where the producer application listens. Empty: the session waits for the application
  /// controllers of both sides to say hello.
  std::vector<Endpoint> prod_app;
  std::map<std::string, std::string> labels;  ///< Such as job or experiment.
  /// Of the bytes between the facilities: `tls` (encrypted), `tcp` (plain), or `auto`, which is
  /// `tls` and fails where a facility cannot.
  std::string transport = "auto";
  /// Of the application: `tcp`, or `udp`, whose listeners take datagrams as well as connections.
  std::string protocol = "tcp";
  /// After set-up the session ends by itself when so much time has passed; 0 is never.
  std::chrono::milliseconds lifetime{0};
  std::string uid;                             ///< The session's id; empty is a random one.
  std::chrono::milliseconds timeout{190'000};  ///< For the set-up.
  /// What the producer's controller must prove to know, 32 bytes; nothing makes one, which the
  /// session's `app_key` shows.
  std::optional<Secret> prod_key;
  std::optional<Secret> cons_key;  ///< The same for the consumer's.
  /// Tell the producer application who connects: each connection begins with a header of the PROXY
  /// protocol, which it must know.
  bool proxy_protocol = false;
};

/// Something that has happened to a session at one control server.
struct SessionEvent {
  /// What it is about.
  enum class Kind {
    state,     ///< It has another state.
    counters,  ///< So much has gone through.
    gone,      ///< It has ended there.
  };
  Kind kind = Kind::state;
  SessionStatus status;  ///< The session then.
  std::string detail;    ///< Why, where there is something to say.
};

/// A session that this user has requested, and what is known of it now.
struct RequestedSession {
  std::string uid;
  std::chrono::sys_seconds created;
  std::vector<Endpoint> servers;      ///< Its control servers.
  std::vector<SessionStatus> status;  ///< The session at those that have answered.
  std::vector<Error> errors;          ///< Why others, which are named, do not say: it may be there.
};

/// What a control server says about itself.
struct ServerInfo {
  std::string version;
  std::vector<std::string> data_server_kinds;
  std::string data_server_version;  ///< Of the program that forwards; empty: it does not say.
  std::vector<std::string> transports;
  int ports_total = 0;
  int ports_free = 0;
  std::uint64_t capacity_mbps = 0;       ///< Mbit/s that can be leased; 0 is unlimited.
  std::uint64_t capacity_free_mbps = 0;  ///< Of these.
  std::uint64_t sessions = 0;
};

/// The user client (S2UC): asks two control servers for a session, and ends it.
///
/// Sessions are remembered in the state folder, so `s2uc list`, `status` and `release` see them.
/// Every function blocks until it is done, by its deadline at the latest, and may be called from
/// any thread, several at once; `stop` makes it give up, with `cancelled`. One that was moved from
/// may only be destroyed or assigned to. Uses gRPC, which does not survive fork().
///
/// Errors of every call: `unavailable`: a control server cannot be reached; `unauthenticated`: its
/// certificate is not trusted, or a key or token is wrong; `permission_denied`: the facility
/// refuses the caller; `failure`: anything else, such as a thread that the system refuses.
class SCISTREAM_EXPORT UserClient {
 public:
  /// Connects to nothing yet. `invalid_argument`: options that contradict each other;
  /// `not_found`: there is no such certificate file.
  [[nodiscard]] static Result<UserClient> create(const ClientOptions& options = {});

  UserClient(UserClient&& other) noexcept;
  UserClient& operator=(UserClient&& other) noexcept;
  /// Sessions live on, and so do the connections that Session objects share.
  ~UserClient();

  /// Sets a session up. When that fails, or `stop` is requested, nothing stays reserved.
  /// `invalid_argument`: a value is wrong; `exhausted`: too few ports or too little bandwidth, the
  /// message says how much is free; `already_exists`: the id is in use there with other values;
  /// `timeout`: an application controller, or a facility, did not answer in time.
  [[nodiscard]] Result<Session> request(const SessionRequest& request, std::stop_token stop = {});
  /// The same, but returns at once: what is wrong with the request itself is an error here, all
  /// else of PendingSession::wait.
  [[nodiscard]] Result<PendingSession> begin(const SessionRequest& request);

  /// Ends a session: listeners are closed, connections reset, ports and bandwidth free. Without
  /// `servers`, here as below: at those that this user requested it from. `not_found`: no server
  /// ever knew it, or it was not requested from here.
  Status release(std::string_view uid, const std::vector<Endpoint>& servers = {});
  /// As Session::drain; `servers` and `not_found` as `release`.
  Status drain(std::string_view uid, const std::vector<Endpoint>& servers = {},
               std::stop_token stop = {});
  /// Gives a session another rate at all its control servers, Mbit/s of the applications' bytes
  /// each way, 0 to 10,000,000; 0 is best effort. Live connections notice. Whether it is leased
  /// at each of them: whatever other sessions do, it is there. `exhausted`: a facility has less to
  /// lease, and the rate is what it was; `not_found`; `invalid_argument`.
  [[nodiscard]] Result<bool> set_rate(std::string_view uid, long long rate_mbps,
                                      const std::vector<Endpoint>& servers = {});
  /// The session at each control server. `not_found` as `release`.
  [[nodiscard]] Result<std::vector<SessionStatus>> status(std::string_view uid,
                                                          const std::vector<Endpoint>& servers = {},
                                                          std::stop_token stop = {});
  /// Tells `observe` what happens to a session, its present states first, until it has ended or
  /// `stop` is requested, which here is a success. `observe` runs on the calling thread and may use
  /// the client; what it throws is thrown again when the watch has ended. `period` is the time
  /// between two `counters` events of one server, 100 ms or more; they come when something has
  /// moved. `not_found`: it is not there; `unavailable`: no server can be reached any more.
  Status watch(std::string_view uid, const std::function<void(const SessionEvent&)>& observe,
               std::chrono::milliseconds period = std::chrono::seconds(1),
               const std::vector<Endpoint>& servers = {}, std::stop_token stop = {});
  /// All sessions requested with this state folder that still exist, the oldest first; those that
  /// other programs of the user have requested, and `s2uc`, are among them, and those of control
  /// servers that do not answer, or have no list (SciStream 1.x). What these do not show to this
  /// user is left out, and forgotten, with its keys, a week after its request. `cancelled`.
  [[nodiscard]] Result<std::vector<RequestedSession>> sessions(std::stop_token stop = {});
  /// What a control server is and has free.
  [[nodiscard]] Result<ServerInfo> info(const Endpoint& server, std::stop_token stop = {});

 private:
  class Impl;
  explicit UserClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace scistream::inline v0
