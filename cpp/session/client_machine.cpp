#include "session/client_machine.hpp"

#include <string>
#include <utility>

namespace scistream::session {

std::string_view to_string(ClientState state) noexcept {
  switch (state) {
    case ClientState::idle: return "idle";
    case ClientState::reserving: return "reserving";
    case ClientState::provisioning: return "provisioning";
    case ClientState::updating: return "updating";
    case ClientState::releasing: return "releasing";
  }
  return "idle";
}

std::string_view to_string(ClientInput input) noexcept {
  switch (input) {
    case ClientInput::start: return "start";
    case ClientInput::producer_answered: return "producer answered";
    case ClientInput::consumer_answered: return "consumer answered";
    case ClientInput::mapped: return "mapped";
    case ClientInput::producer_updated: return "producer updated";
    case ClientInput::consumer_updated: return "consumer updated";
    case ClientInput::fail: return "fail";
    case ClientInput::release: return "release";
    case ClientInput::producer_released: return "producer released";
    case ClientInput::consumer_released: return "consumer released";
  }
  return "fail";
}

Error ClientMachine::refusal(ClientInput input) const {
  return {Cause::failed_precondition, "'" + std::string(to_string(input)) +
                                          "' is not possible while the request is " +
                                          (ended_ ? "ended" : std::string(to_string(state_)))};
}

bool ClientMachine::mark(Role role) {
  bool& seen = role == Role::producer ? producer_ : consumer_;
  return !std::exchange(seen, true);
}

void ClientMachine::enter(ClientState state) noexcept {
  state_ = state;
  producer_ = false;
  consumer_ = false;
}

Result<std::vector<ClientAction>> ClientMachine::apply(ClientInput input) {
  using Actions = std::vector<ClientAction>;
  switch (input) {
    case ClientInput::start:
      if (state_ != ClientState::idle || ready_ || ended_) return refusal(input);
      enter(ClientState::reserving);
      return Actions{ClientAction::send_requests};
    case ClientInput::producer_answered:
    case ClientInput::consumer_answered:
      if (state_ != ClientState::reserving ||
          !mark(input == ClientInput::producer_answered ? Role::producer : Role::consumer)) {
        return refusal(input);
      }
      if (!both()) return Actions{};
      enter(ClientState::provisioning);
      return Actions{ClientAction::make_map};
    case ClientInput::mapped:
      if (state_ != ClientState::provisioning) return refusal(input);
      enter(ClientState::updating);
      return Actions{ClientAction::send_updates};
    case ClientInput::producer_updated:
    case ClientInput::consumer_updated:
      if (state_ != ClientState::updating ||
          !mark(input == ClientInput::producer_updated ? Role::producer : Role::consumer)) {
        return refusal(input);
      }
      if (!both()) return Actions{};
      enter(ClientState::idle);
      ready_ = true;
      return Actions{ClientAction::report_ready};
    case ClientInput::fail:
      if (state_ == ClientState::idle || state_ == ClientState::releasing) return refusal(input);
      enter(ClientState::releasing);
      return Actions{ClientAction::send_releases};
    case ClientInput::release:
      if (state_ == ClientState::releasing || ended_ || (state_ == ClientState::idle && !ready_)) {
        return refusal(input);
      }
      enter(ClientState::releasing);
      ready_ = false;
      return Actions{ClientAction::send_releases};
    case ClientInput::producer_released:
    case ClientInput::consumer_released:
      if (state_ != ClientState::releasing ||
          !mark(input == ClientInput::producer_released ? Role::producer : Role::consumer)) {
        return refusal(input);
      }
      if (!both()) return Actions{};
      enter(ClientState::idle);
      ended_ = true;
      return Actions{ClientAction::report_ended};
  }
  return refusal(input);
}

}  // namespace scistream::session
