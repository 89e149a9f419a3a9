#pragma once

#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "scistream/session_key.hpp"

namespace scistream::session {

/// The states of one request at the user client (S2UC), PROTOCOL §3.
enum class ClientState { idle, reserving, provisioning, updating, releasing };

std::string_view to_string(ClientState state) noexcept;

/// What may happen to a request at the user client.
enum class ClientInput {
  start,              ///< The user asks for a session.
  producer_answered,  ///< The producer's facility answered `req`, with its application's addresses.
  consumer_answered,  ///< The consumer's facility answered `req`.
  mapped,             ///< The connection map and the data key are made.
  producer_updated,   ///< The producer's facility has its targets.
  consumer_updated,   ///< The consumer's facility has its targets.
  fail,               ///< Any error, timeout or interruption by the user.
  release,            ///< The user ends a session that is set up.
  producer_released,  ///< The producer's facility has given everything back, or cannot be reached.
  consumer_released,  ///< The same of the consumer's facility.
};

std::string_view to_string(ClientInput input) noexcept;

/// What the request's shell has to do next.
enum class ClientAction {
  send_requests,  ///< `req` to both facilities, in parallel.
  make_map,       ///< Connection map and data connection key.
  send_updates,   ///< `update` to both facilities, in parallel.
  report_ready,   ///< The session is set up.
  send_releases,  ///< `release` to both facilities, in parallel.
  report_ended,   ///< Nothing is reserved any more.
};

/// One request's S2UC machine. Pure, like the S2CS machine. Not thread-safe.
///
///   idle -> reserving -> provisioning -> updating -> idle,   releasing from any of them
class ClientMachine {
 public:
  [[nodiscard]] ClientState state() const noexcept { return state_; }
  /// True between `report_ready` and the release.
  [[nodiscard]] bool ready() const noexcept { return ready_; }
  /// True once `report_ended` was given.
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  [[nodiscard]] Result<std::vector<ClientAction>> apply(ClientInput input);

 private:
  [[nodiscard]] Error refusal(ClientInput input) const;
  /// Marks one of the two answers a state waits for; false if it came already.
  bool mark(Role role);
  [[nodiscard]] bool both() const noexcept { return producer_ && consumer_; }
  void enter(ClientState state) noexcept;

  ClientState state_ = ClientState::idle;
  bool producer_ = false;
  bool consumer_ = false;
  bool ready_ = false;
  bool ended_ = false;
};

}  // namespace scistream::session
