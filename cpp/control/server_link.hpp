#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/scheduler.hpp"
#include "control/control_client.hpp"
#include "control/grpc.hpp"
#include "control/open_calls.hpp"

namespace scistream::control {

/// How long a server has been unreachable, over all calls to it: a call that follows one which has
/// tried long enough does not begin anew. Lives on the scheduler.
class Outage {
 public:
  /// A call has failed; since when calls have, without an answer between.
  Clock::time_point failed(Clock::time_point now) {
    if (!last_failure_ || now - *last_failure_ > memory) since_ = now;
    last_failure_ = now;
    return since_;
  }
  void over() { last_failure_.reset(); }

 private:
  /// Longer than between two attempts of one call.
  static constexpr std::chrono::seconds memory{2};

  Clock::time_point since_;
  std::optional<Clock::time_point> last_failure_;
};

/// One client's channel to one control server and what its calls share. Kept alive by them; closed
/// by the client. Thread-safe.
class ServerLink : public std::enable_shared_from_this<ServerLink> {
 public:
  ServerLink(Scheduler& scheduler, ServerAccess access);

  /// Shows who calls; or why that cannot be shown, and the call is not made.
  Status authorize(grpc::ClientContext& context) const;
  /// Finds out what shows it; `then` runs on the scheduler, or at once where nothing is asked for.
  void ask_token(std::function<void()> then);
  /// A refusal that says for what to log in says it in its message.
  [[nodiscard]] Error refusal(const grpc::ClientContext& context, Error error);
  [[nodiscard]] LoginHint login_hint() const;
  /// Learns from the answer to a call that has ended, even if it failed; whether there was one.
  bool note(const grpc::ClientContext& context);
  /// Cancels all calls, waits for gRPC to let go of them, and lets the channel go.
  void close();
  /// Asks the server, which is there, whether it is one of ours, and notes it. `done` runs on the
  /// scheduler.
  void identify(std::function<void()> done);
  /// Finds out, off the scheduler, why the server is unavailable; `done` runs on the scheduler.
  void diagnose(std::function<void(Status)> done);

  Scheduler& scheduler;
  const ServerAccess access;
  const std::shared_ptr<OpenCalls> open = std::make_shared<OpenCalls>();
  std::unique_ptr<Control::Stub> stub;  ///< For the owners of an OpenContext.
  std::atomic<bool> reached{false};     ///< The server has answered once.
  std::atomic<bool> ours{false};        ///< It has said that it is one of this project's.
  /// Milliseconds since 1970 by its clock when it last spoke, less ours then; `unknown_clock`: it
  /// has not said.
  std::atomic<std::int64_t> clock_ahead{unknown_clock};
  static constexpr std::int64_t unknown_clock = INT64_MIN;
  Outage outage;  ///< On the scheduler.

 private:
  mutable std::mutex token_mutex_;
  Result<Secret> token_ = Secret();
  LoginHint login_hint_;
};

}  // namespace scistream::control
