#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "client/user_client.hpp"

namespace scistream::client {

/// What an application controller says Hello with.
struct AppHello {
  std::string uid;
  Role role = Role::producer;
  std::vector<Endpoint> listeners;  ///< Producer: where its application listens; not empty.
  Secret key;               ///< The session's application key of this facility; may be empty.
  bool wait_ready = false;  ///< Return only when the session's targets are set.
  std::chrono::milliseconds patience{0};  ///< How long to wait for a session that is not there yet.
  std::chrono::milliseconds timeout{180'000};  ///< For `wait_ready`.
};

/// The application controller's side of the protocol: announces an application to its own
/// facility's control server. Blocks; any thread.
class AppController {
 public:
  AppController(ClientOptions options, Endpoint server);

  /// The facility's listeners for this application: a consumer connects to them.
  /// `not_found`: the session does not exist (within `patience`); `unauthenticated`: the key is
  /// missing or wrong; `invalid_argument`: a producer without addresses.
  Result<session::HelloAnswer> hello(const AppHello& hello, Interrupt* interrupt = nullptr);

 private:
  UserClient client_;
  Endpoint server_;
};

}  // namespace scistream::client
