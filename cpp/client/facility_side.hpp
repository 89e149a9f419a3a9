#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/control_client.hpp"

namespace scistream::client {

/// One facility's part in a session that is being set up: its req, the hello said on behalf of the
/// application while that is open, its update and its release. A member of what drives it, whose
/// calls hold `owner` and come back on the scheduler. Lives there.
class FacilitySide {
 public:
  using Fail = std::function<void(Error)>;
  using Done = std::function<void()>;

  /// `wanted.key` says which session and role; `wanted.claim` is what `release` names.
  FacilitySide(Scheduler& scheduler, control::ControlClient& client, session::Request wanted);

  void own(std::weak_ptr<void> owner) { owner_ = std::move(owner); }

  /// One of them is called once; afterwards `answer` is there. Errors name the facility.
  void request(std::chrono::milliseconds timeout, Done done, Fail fail);

  /// Says hello for the application until it is taken or the req is answered: one that overtakes
  /// its req is said again, from 20 ms on. `taken` may come after the answer to the req.
  void say_hello(std::vector<std::string> listeners, Done taken, Fail fail);

  /// `data_key` is empty for a plain session.
  void update(std::vector<Endpoint> targets, const Secret& data_key,
              std::function<void(const session::UpdateAnswer&)> done, Fail fail);

  /// Cancels what is open and ends the session at this facility, if it is the one that was
  /// requested here. Whatever the answer: what cannot be reached ends by its own clocks.
  void release(Done done);

  [[nodiscard]] const session::RequestAnswer& answer() const { return answer_; }
  /// With the facility named, since two of them answer.
  [[nodiscard]] Error named(Error error) const;
  [[nodiscard]] Role role() const { return wanted_.key.role; }
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  void hello(const std::shared_ptr<const session::Hello>& message, const Done& taken,
             const Fail& fail);

  Scheduler& scheduler_;
  control::ControlClient& client_;  ///< Not after the release: a cancelled call may answer later.
  const std::string where_;
  const session::Request wanted_;
  std::weak_ptr<void> owner_;
  bool request_open_ = false;
  control::ControlClient::Handle call_;
  session::RequestAnswer answer_;
  std::chrono::milliseconds hello_backoff_{20};
  std::optional<Clock::time_point> refused_since_;  ///< Hellos that lack the session's key.
  Scheduler::Timer hello_timer_;
};

}  // namespace scistream::client
