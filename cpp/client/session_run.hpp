#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/facility_side.hpp"
#include "control/control_client.hpp"
#include "session/client_machine.hpp"

namespace scistream::client {

/// A whole session, as the user asks for it.
struct SessionRequest {
  std::string uid;  ///< Empty: a random one.
  int num_conn = 1;
  session::Rate rate;
  std::string protocol = "tcp";  ///< Or `udp`: datagrams as well as connections.
  std::vector<Endpoint>
      prod_app;  ///< Where the producer application listens; empty: wait for hellos.
  std::map<std::string, std::string> labels;
  /// Of the bytes between the facilities: `tcp` (plain), `tls`, or `auto`, which is `tls` and fails
  /// where a facility cannot.
  std::string transport = "auto";
  bool proxy_protocol = false;            ///< The producer application is told who connects.
  std::chrono::milliseconds lifetime{0};  ///< After set-up; 0: until released.
  Secret prod_app_key;                    ///< What the producer's hello must prove; empty: nothing.
  Secret cons_app_key;
  std::chrono::milliseconds timeout{190'000};  ///< For the whole set-up.
};

struct StateChange {
  session::ClientState state = session::ClientState::idle;
  std::chrono::microseconds at{0};  ///< Since the start.
};

/// A session that is set up.
struct SessionResult {
  std::string uid;
  std::vector<std::string> listeners;       ///< Where the consumer application connects.
  std::vector<std::string> prod_listeners;  ///< The producer facility's WAN listeners.
  std::vector<std::string> targets;         ///< Where the producer application listens.
  std::string transport;                    ///< `tcp` or `tls`.
  std::chrono::microseconds setup{0};
  std::vector<StateChange> states;
};

/// One run of the S2UC machine against two control servers: requests at both, says Hello where the
/// producer's addresses are known, maps, updates; releases both on any failure.
///
/// Owned by its caller and its own calls; lives on the scheduler, which the two clients share and
/// which, like them, must outlive it. `cancel` and `start` may be called from any thread.
class SessionRun : public std::enable_shared_from_this<SessionRun> {
 public:
  using Done = std::function<void(Result<SessionResult>)>;
  using Observe = std::function<void(const StateChange&)>;

  SessionRun(Scheduler& scheduler, control::ControlClient& producer,
             control::ControlClient& consumer, SessionRequest request);

  /// `done` is called once: with the session, or with why there is none, after everything reserved
  /// has been released. `observe` sees every state.
  void start(Observe observe, Done done);
  /// Gives up and releases, unless the session is set up already. May come before `start`, which
  /// then sends nothing.
  void cancel();

 private:
  void apply(session::ClientInput input);
  void fail(Error error);
  /// Who has not answered yet, in words.
  [[nodiscard]] std::string waits_for() const;
  [[nodiscard]] session::Request wanted(Role role, const control::ControlClient& producer,
                                        const control::ControlClient& consumer) const;
  void send_request(FacilitySide& side);
  void make_map();
  void send_update(FacilitySide& side, std::vector<Endpoint> targets);
  void send_release(FacilitySide& side);
  void report_ready();
  void report_ended();

  Scheduler& scheduler_;
  SessionRequest request_;
  const std::string claim_ = Secret::random(16).hex();
  const Secret data_key_;  ///< Of an encrypted session.
  FacilitySide producer_;
  FacilitySide consumer_;
  session::ClientMachine machine_;
  Observe observe_;
  Done done_;
  bool cancelled_ = false;
  Clock::time_point started_{};
  Scheduler::Timer timeout_;
  Error error_;
  SessionResult result_;
};

}  // namespace scistream::client
