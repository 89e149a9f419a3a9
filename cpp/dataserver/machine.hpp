#pragma once

#include <string_view>

#include "base/error.hpp"

namespace scistream::dataserver {

/// The states of a session at the data server (S2DS), PROTOCOL §3.
enum class State { idle, reserving, updating, releasing };

std::string_view to_string(State state) noexcept;

/// What may happen to a session at the data server.
enum class Input {
  reserve,   ///< The control server asks for listeners.
  reserved,  ///< Their ports are bound.
  update,    ///< The control server sends targets.
  updated,   ///< The targets are in force.
  release,   ///< The control server ends the session, or an error does.
  released,  ///< Listeners, connections and keys are gone.
};

std::string_view to_string(Input input) noexcept;

/// One session's S2DS machine: idle → reserving → idle, idle → updating → idle,
/// any → releasing → idle. Pure: decides, does nothing. Not thread-safe.
class Machine {
 public:
  [[nodiscard]] State state() const noexcept { return state_; }
  /// True between `reserved` and `released`: the session holds ports.
  [[nodiscard]] bool holds_ports() const noexcept { return holds_ports_; }

  /// Moves to the next state, or refuses with `failed_precondition` and stays where it is.
  Status apply(Input input);

 private:
  State state_ = State::idle;
  bool holds_ports_ = false;
};

}  // namespace scistream::dataserver
