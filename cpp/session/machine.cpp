#include "session/machine.hpp"

#include <string>

namespace scistream::session {

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::idle: return "idle";
    case State::reserving: return "reserving";
    case State::listening: return "listening";
    case State::updating: return "updating";
    case State::releasing: return "releasing";
  }
  return "idle";
}

std::string_view to_string(Input input) noexcept {
  switch (input) {
    case Input::request: return "request";
    case Input::reserved: return "reserved";
    case Input::reserve_failed: return "reserve failed";
    case Input::hello: return "hello";
    case Input::update: return "update";
    case Input::updated: return "updated";
    case Input::update_failed: return "update failed";
    case Input::release: return "release";
    case Input::expire: return "expire";
    case Input::released: return "released";
  }
  return "expire";
}

std::string_view to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::fresh: return "fresh";
    case Phase::reserving: return "reserving";
    case Phase::hello: return "hello";
    case Phase::update: return "update";
    case Phase::ready: return "ready";
    case Phase::ended: return "ended";
  }
  return "ended";
}

Machine Machine::resumed(Phase phase) noexcept {
  Machine machine;
  machine.state_ = phase == Phase::hello ? State::listening : State::idle;
  machine.phase_ = phase;
  return machine;
}

Error Machine::refusal(Input input) const {
  std::string where = "the session is " + std::string(to_string(state_));
  if (state_ == State::idle && phase_ == Phase::update) where = "the session waits for its targets";
  if (phase_ == Phase::fresh) where = "the session has not been requested";
  if (phase_ == Phase::ended) where = "the session has ended";
  return {Cause::failed_precondition,
          "'" + std::string(to_string(input)) + "' is not possible now: " + where};
}

std::vector<Action> Machine::enter_releasing() {
  state_ = State::releasing;
  return {Action::release_listeners};
}

Result<std::vector<Action>> Machine::apply(Input input) {
  using Actions = std::vector<Action>;
  const bool active = phase_ != Phase::fresh && phase_ != Phase::ended;
  switch (input) {
    case Input::request:
      if (phase_ != Phase::fresh) return refusal(input);
      state_ = State::reserving;
      phase_ = Phase::reserving;
      return Actions{Action::reserve_listeners};
    case Input::reserved:
      if (state_ != State::reserving) return refusal(input);
      state_ = State::listening;
      phase_ = Phase::hello;
      return Actions{Action::await_hello};
    case Input::reserve_failed:
      if (state_ != State::reserving) return refusal(input);
      return enter_releasing();
    case Input::hello:
      // Repeated after a lost answer it changes nothing; the shell answers it again.
      if (state_ == State::idle && (phase_ == Phase::update || phase_ == Phase::ready))
        return Actions{};
      if (state_ == State::updating) return Actions{};
      if (state_ != State::listening) return refusal(input);
      state_ = State::idle;
      phase_ = Phase::update;
      return Actions{Action::answer_request, Action::await_update};
    case Input::update:
      if (state_ != State::idle || (phase_ != Phase::update && phase_ != Phase::ready))
        return refusal(input);
      state_ = State::updating;
      return Actions{Action::set_targets};
    case Input::updated: {
      if (state_ != State::updating) return refusal(input);
      state_ = State::idle;
      const bool first = phase_ == Phase::update;
      phase_ = Phase::ready;
      return first ? Actions{Action::answer_update, Action::become_ready}
                   : Actions{Action::answer_update};
    }
    case Input::update_failed:
      if (state_ != State::updating) return refusal(input);
      return enter_releasing();
    case Input::release:
    case Input::expire:
      if (!active || state_ == State::releasing) return refusal(input);
      return enter_releasing();
    case Input::released:
      if (state_ != State::releasing) return refusal(input);
      state_ = State::idle;
      phase_ = Phase::ended;
      return Actions{Action::return_leases, Action::end};
  }
  return refusal(input);
}

}  // namespace scistream::session
