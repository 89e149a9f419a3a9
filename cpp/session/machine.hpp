#pragma once

#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace scistream::session {

/// The states of a session at the control server (S2CS), PROTOCOL §3.
enum class State { idle, reserving, listening, updating, releasing };

std::string_view to_string(State state) noexcept;

/// What may happen to a session.
enum class Input {
  request,         ///< REQ came: a new session.
  reserved,        ///< The data server bound the listeners.
  reserve_failed,  ///< The data server refused.
  hello,           ///< The application controller said Hello.
  update,          ///< UpdateTargets came.
  updated,         ///< The data server took the targets.
  update_failed,   ///< The data server did not.
  release,         ///< The user ends the session.
  expire,    ///< A timeout, the client's death, the lifetime or the data server's loss ends it.
  released,  ///< The data server gave everything back.
};

std::string_view to_string(Input input) noexcept;

/// What the session's shell has to do next, in this order.
enum class Action {
  reserve_listeners,  ///< Ask the data server for `num_conn` listeners.
  await_hello,        ///< Start the timer within which Hello must come.
  answer_request,     ///< Tell S2UC the listeners and, for a producer, its application's addresses.
  await_update,       ///< Start the timer within which the first UpdateTargets must come.
  set_targets,        ///< Send the targets to the data server.
  answer_update,      ///< Tell S2UC that they are in force.
  become_ready,       ///< First update done: the session's life counts from here.
  release_listeners,  ///< Tell everybody who waits why it ends; ask the data server to release.
  return_leases,      ///< Give ports and bandwidth back, exactly once.
  end,                ///< Tell those who wait for the release; forget the session.
};

/// What an idle session waits for.
enum class Phase { fresh, reserving, hello, update, ready, ended };

std::string_view to_string(Phase phase) noexcept;

/// One session's S2CS machine. Pure: an event in, actions out; no I/O, no clock. Not thread-safe.
///
///   idle -> reserving -> listening -> idle -> updating -> idle -> releasing -> idle
///
/// with `releasing` from anywhere on error. An event that the state does not allow is refused with
/// `failed_precondition` and changes nothing.
class Machine {
 public:
  Machine() = default;
  /// One that an earlier process had brought to `phase`: hello, update or ready.
  static Machine resumed(Phase phase) noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  /// It has been set up, and may be ending since.
  [[nodiscard]] bool was_ready() const noexcept { return phase_ == Phase::ready; }
  [[nodiscard]] Phase phase() const noexcept { return phase_; }

  [[nodiscard]] Result<std::vector<Action>> apply(Input input);

 private:
  [[nodiscard]] Error refusal(Input input) const;
  std::vector<Action> enter_releasing();

  State state_ = State::idle;
  Phase phase_ = Phase::fresh;
};

}  // namespace scistream::session
