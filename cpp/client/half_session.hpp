#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/facility_side.hpp"

namespace scistream::client {

/// One facility's half of a session, as the single-step commands ask for it. Somebody else asks the
/// other facility for the other half, perhaps with other software.
struct HalfRequest {
  std::string uid;
  Role role = Role::producer;
  int num_conn = 5;
  session::Rate rate{10'000, false};
  std::string protocol = "tcp";
  std::string transport = "tcp";  ///< Of the bytes between the facilities: `tcp` or `tls`.
  Secret data_key;                ///< Of tls; the other half has the same.
  bool proxy_protocol = false;    ///< Producer: its application is told who connects.
  /// What to say in the hello, on behalf of the application; absent: its controller says it.
  std::optional<std::vector<std::string>> hello;
  /// Consumer: the producer facility's listeners. A producer's targets are what its hello named.
  std::vector<Endpoint> targets;
  std::chrono::milliseconds timeout{190'000};
};

enum class HalfStep { request, hello, update };

struct HalfResult {
  std::vector<std::string> listeners;       ///< This facility's.
  std::vector<std::string> prod_listeners;  ///< Producer: where its application listens.
};

/// One run: req, hello if asked to, update; released on any failure. Owned by its caller and its
/// own calls; lives on the scheduler, which must outlive it as the client must. `start` and
/// `cancel` may be called from any thread.
class HalfSession : public std::enable_shared_from_this<HalfSession> {
 public:
  using Done = std::function<void(Result<HalfResult>)>;
  /// Told of each step that has succeeded, on the scheduler.
  using Observe = std::function<void(HalfStep)>;

  HalfSession(Scheduler& scheduler, control::ControlClient& client, HalfRequest request);

  /// `done` is called once; after a failure everything reserved has been released by then.
  void start(Observe observe, Done done);
  /// Gives up and releases, unless it is set up already.
  void cancel();
  /// Which step failed. After `done`.
  [[nodiscard]] HalfStep failed_at() const { return failed_at_; }

 private:
  void answered();
  void go_on();
  void finish();
  void fail(HalfStep step, Error error);

  Scheduler& scheduler_;
  const HalfRequest request_;
  FacilitySide side_;
  Observe observe_;
  Done done_;
  bool cancelled_ = false;
  bool answered_ = false;
  bool greeted_ = false;
  bool ended_ = false;
  HalfStep failed_at_ = HalfStep::request;
  Scheduler::Timer timeout_;
};

}  // namespace scistream::client
