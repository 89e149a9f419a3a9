#include "dataserver/machine.hpp"

#include <string>

namespace scistream::dataserver {

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::idle: return "idle";
    case State::reserving: return "reserving";
    case State::updating: return "updating";
    case State::releasing: return "releasing";
  }
  return "idle";
}

std::string_view to_string(Input input) noexcept {
  switch (input) {
    case Input::reserve: return "reserve";
    case Input::reserved: return "reserved";
    case Input::update: return "update";
    case Input::updated: return "updated";
    case Input::release: return "release";
    case Input::released: return "released";
  }
  return "release";
}

Status Machine::apply(Input input) {
  const auto refuse = [&]() -> Status {
    return Error{Cause::failed_precondition,
                 "the data server cannot take '" + std::string(to_string(input)) + "' while " +
                     (state_ == State::idle && !holds_ports_ ? "it holds no ports"
                                                             : std::string(to_string(state_)))};
  };
  switch (input) {
    case Input::reserve:
      if (state_ != State::idle || holds_ports_) return refuse();
      state_ = State::reserving;
      return {};
    case Input::reserved:
      if (state_ != State::reserving) return refuse();
      state_ = State::idle;
      holds_ports_ = true;
      return {};
    case Input::update:
      if (state_ != State::idle || !holds_ports_) return refuse();
      state_ = State::updating;
      return {};
    case Input::updated:
      if (state_ != State::updating) return refuse();
      state_ = State::idle;
      return {};
    case Input::release:
      if (state_ == State::releasing || (state_ == State::idle && !holds_ports_)) return refuse();
      state_ = State::releasing;
      return {};
    case Input::released:
      if (state_ != State::releasing) return refuse();
      state_ = State::idle;
      holds_ports_ = false;
      return {};
  }
  return refuse();
}

}  // namespace scistream::dataserver
